import t from 'tap';
import { openIndexScheduler } from '../../../../src/store/sqlite/audit-index/index-scheduler.ts';

/** Work with a number of unindexed events, and timers that the test runs. */
function openWork(done: { step?: boolean; due?: boolean; costMs?: number } = {}) {
  let nowMs = 0;
  let unindexed = 0;
  const log: string[] = [];
  const waiting = new Set<{ readonly atMs: number; readonly run: () => void }>();
  const add = (atMs: number, run: () => void) => {
    const entry = { atMs, run };
    waiting.add(entry);
    return () => void waiting.delete(entry);
  };
  const part = (size: number): void => {
    nowMs += done.costMs ?? 1;
    unindexed = Math.max(0, unindexed - size);
  };
  const scheduler = openIndexScheduler(
    {
      isDue: () => done.due ?? false,
      unindexed: () => unindexed,
      runStep() {
        log.push('step');
        part(100);
        return done.step ?? true;
      },
      runIdleStep(upTo) {
        log.push(`rest ${upTo}`);
        part(400);
        return unindexed > 0 ? 7 : undefined;
      },
    },
    {
      now: () => nowMs,
      after: (delayMs, run) => add(nowMs + delayMs, run),
      soon: (run) => add(nowMs, run),
    },
  );
  return {
    scheduler,
    log,
    waiting: () => waiting.size,
    batch(events: number) {
      unindexed += events;
      scheduler.batchDone();
    },
    /** Lets time pass and runs the timers that come due. */
    pass(ms: number) {
      const endMs = nowMs + ms;
      for (;;) {
        const [next] = [...waiting].sort((a, b) => a.atMs - b.atMs);
        if (next === undefined || next.atMs > endMs) break;
        nowMs = Math.max(nowMs, next.atMs);
        waiting.delete(next);
        next.run();
      }
      nowMs = Math.max(nowMs, endMs);
    },
  };
}

t.test('the rest is indexed in chunks when the store is idle, by one timer', async (t) => {
  const work = openWork();
  for (let at = 0; at < 20; at += 1) {
    work.batch(50);
    t.equal(work.waiting(), 1);
    work.pass(100);
  }
  t.same(work.log, []);
  work.pass(500);
  t.same(work.log, ['rest undefined', 'rest 7', 'rest 7']);
  t.equal(work.waiting(), 0);
});

t.test('the rest gives way to new batches, by one timer, and continues after them', async (t) => {
  const work = openWork({ costMs: 100 });
  work.batch(4_000);
  work.pass(500);
  t.same(work.log, ['rest undefined']);
  for (let at = 0; at < 10; at += 1) {
    work.batch(10);
    t.equal(work.waiting(), 1);
    work.pass(100);
  }
  t.same(work.log, ['rest undefined', 'rest 7'], 'only the chunk that was already scheduled');
  work.pass(400);
  t.equal(work.log.at(-1), 'rest undefined');
  work.pass(2_000);
  t.equal(work.waiting(), 0);
  t.equal(work.log.length, 11, 'the chunks of 4,100 events');
});

t.test('a due step runs after a batch, and after the next one if it failed', async (t) => {
  const work = openWork({ due: true });
  work.batch(250);
  work.batch(0);
  t.equal(work.waiting(), 2, 'one step and one timer');
  work.pass(2);
  t.same(work.log, ['step', 'step', 'step']);
  const failing = openWork({ due: true, step: false });
  failing.batch(250);
  failing.pass(10);
  t.same(failing.log, ['step']);
  failing.batch(0);
  failing.pass(10);
  t.same(failing.log, ['step', 'step']);
});

t.test('far behind, several steps run before the next batch, but not for long', async (t) => {
  const work = openWork({ due: true, costMs: 30 });
  work.batch(60_000);
  work.pass(0);
  t.same(work.log, ['step', 'step', 'step', 'step']);
});

t.test('nothing runs after the close', async (t) => {
  const work = openWork({ due: true });
  work.batch(250);
  work.scheduler.close();
  t.equal(work.waiting(), 0);
  const resting = openWork({ costMs: 100 });
  resting.batch(4_000);
  resting.pass(500);
  resting.scheduler.close();
  t.equal(resting.waiting(), 0);
});
