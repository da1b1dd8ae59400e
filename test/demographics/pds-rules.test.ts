import { test } from 'tap';
import { begin, type Circuit, closedCircuit, fail, isOpen, waitMs } from '../../src/demographics/pds/circuit.ts';
import { openSharedRate } from '../../src/demographics/pds/shared-rate.ts';
import { openTraceCache } from '../../src/demographics/pds/trace-cache.ts';
import { openSqliteStore } from '../../src/store/sqlite/open-sqlite-store.ts';
import type { Store } from '../../src/store/store.ts';
import { makeTempFolder } from '../support/temp-folder.ts';

test('the breaker opens after three failures, probes once, and waits half a minute at most', async (t) => {
  const failures = (count: number): Circuit =>
    Array.from({ length: count }).reduce<Circuit>((circuit) => fail(circuit, 0), closedCircuit);
  t.notOk(isOpen(failures(2)));
  t.equal(waitMs(failures(2), 0), 0);
  t.ok(isOpen(failures(3)));
  t.same(
    [3, 4, 5, 6, 7, 8, 9, 50].map((count) => waitMs(failures(count), 0)),
    [1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000, 30_000],
  );
  t.equal(waitMs(fail(failures(2), 0, 9_000), 0), 9_000, 'the service may ask for longer');
  t.equal(waitMs(fail(failures(2), 0, 3_600_000), 0), 30_000, 'but not for more than half a minute');
  const due = failures(3);
  t.equal(waitMs(due, 1_000), 0, 'a probe is due');
  t.equal(waitMs(begin(due), 5_000), 1_000, 'and only one is sent');
  t.equal(begin(closedCircuit), closedCircuit);
});

test('two servers never use the same slot of the rate limit', async (t) => {
  const store = await openSqliteStore({ folder: makeTempFolder(t), onFatal: t.threw });
  t.teardown(() => store.close());
  const slots: number[] = [];
  const startMs = 1_800_000_000_000;
  const observed: Pick<Store, 'useOnce'> = {
    async useOnce(key, expiresAtMs, nowMs) {
      const isFree = await store.useOnce(key, expiresAtMs, nowMs);
      if (isFree) slots.push(Number(key.split(':')[2]));
      return isFree;
    },
  };
  const buildServer = () => {
    // Waiting moves this clock on, so that no real time passes.
    let nowMs = startMs;
    return openSharedRate(5, observed, {
      now: () => nowMs,
      after: (delayMs, run) => {
        const atMs = nowMs + delayMs;
        queueMicrotask(() => {
          nowMs = Math.max(nowMs, atMs);
          run();
        });
        return () => undefined;
      },
    }).take;
  };
  const servers = [buildServer(), buildServer(), buildServer()];
  const turns = await Promise.all(servers.flatMap((take) => [take(9_000), take(9_000), take(9_000), take(9_000)]));
  t.ok(turns.every(Boolean));
  const used = [...slots].sort((a, b) => a - b);
  t.same(
    used,
    used.map((_, index) => startMs / 200 + index),
    'all slots from now on, each once',
  );
  const late = buildServer();
  t.equal(await late(1_000), false, 'no slot is used up for a request that would not wait for it');
  t.equal(await late(3_000), true);
});

test('the cache is bounded in size and age', async (t) => {
  let nowMs = 0;
  const cache = openTraceCache<number>({ maxEntries: 2, maxAgeMs: 100 }, () => nowMs);
  cache.set('a', 1);
  cache.set('b', 2);
  cache.set('a', 3);
  cache.set('c', 4);
  t.same([cache.get('a'), cache.get('b'), cache.get('c')], [3, undefined, 4], 'the oldest goes first');
  nowMs = 100;
  t.same([cache.get('a'), cache.get('c')], [undefined, undefined]);
  const none = openTraceCache<number>({ maxEntries: 2, maxAgeMs: 0 }, () => 0);
  none.set('a', 1);
  t.equal(none.get('a'), undefined, 'an age of 0 keeps nothing');
});
