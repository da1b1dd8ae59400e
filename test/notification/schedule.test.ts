import fc from 'fast-check';
import t from 'tap';
import { steadyNow } from '../../src/notification/clock.ts';
import { EndpointGate } from '../../src/notification/endpoint-gate.ts';
import { longestDelayMs, parseRetryAfter, retryDelayMs } from '../../src/notification/schedule.ts';
import { settle } from '../../src/notification/settlement.ts';

const middle = () => 0.5;

t.test('the steps, their jitter, and the longest gap', async (t) => {
  t.same(
    [1, 2, 3, 4, 5, 6, 1000].map((failures) => retryDelayMs(failures, middle) / 1000),
    [5, 30, 120, 600, 750, 750, 750],
  );
  t.same([retryDelayMs(1, () => 0), retryDelayMs(1, () => 0.999999)], [4000, 6000]);
  fc.assert(
    fc.property(
      fc.integer({ min: -5, max: 10_000 }),
      fc.double({ min: 0, max: 0.9999, noNaN: true }),
      fc.oneof(fc.constant(undefined), fc.double()),
      (failures, roll, retryAfterMs) => {
        const delayMs = retryDelayMs(failures, () => roll, retryAfterMs);
        const base = retryDelayMs(failures, () => roll);
        return delayMs >= base && delayMs <= longestDelayMs && (failures < 5 || delayMs >= 600_000);
      },
    ),
  );
});

t.test('Retry-After: seconds, a date, nonsense', async (t) => {
  const nowMs = Date.parse('2026-11-20T09:00:00Z');
  t.equal(parseRetryAfter('120', nowMs), 120_000);
  t.equal(parseRetryAfter('Fri, 20 Nov 2026 09:10:00 GMT', nowMs), 600_000);
  t.equal(parseRetryAfter('Fri, 20 Nov 2026 08:10:00 GMT', nowMs), 0);
  for (const nonsense of [
    undefined,
    '',
    '-5',
    '1.5',
    '1e9',
    'tomorrow',
    '2026-11-20',
    'Fri, 99 Nov 2026 09:10:00 GMT',
  ]) {
    t.equal(parseRetryAfter(nonsense, nowMs), undefined);
  }
});

t.test(
  'the gate: one probe at a time, attempts side by side count once, a late answer does not undo throttling',
  async (t) => {
    const gate = new EndpointGate(middle);
    t.equal(gate.state(0), 'open');
    const [one, two, three] = [gate.begin(), gate.begin(), gate.begin()];
    gate.failed(one, 0, undefined);
    gate.failed(two, 10, undefined);
    t.match(gate, { failures: 1, retryAtMs: 5000 });
    t.equal(gate.state(4999), 'shut');
    t.equal(gate.state(5000), 'probe');
    const probe = gate.begin();
    t.equal(gate.state(5001), 'shut', 'while the probe is under way');
    gate.failed(probe, 6000, undefined);
    t.match(gate, { failures: 2, retryAtMs: 36_000 });
    t.equal(gate.answered(three), 2, 'an answer to an older attempt shows that the endpoint lives');
    t.equal(gate.state(6001), 'open');

    const [first, second] = [gate.begin(), gate.begin()];
    gate.failed(first, 7000, 60_000);
    t.equal(gate.answered(second), 0);
    t.equal(gate.state(7001), 'shut');
    t.equal(gate.state(67_000), 'probe');
    t.equal(gate.state(-100_000_000), 'probe', 'the wall clock was set back');
  },
);

t.test('what a round of attempts comes to', async (t) => {
  const delivery = { attempts: 1, acknowledgedBy: ['a'] };
  const ok = { kind: 'acknowledged', status: 200 } as const;
  const refused = { kind: 'failed', reason: 'status-422', endpointAlive: true } as const;
  const down = { kind: 'failed', reason: 'timeout', endpointAlive: false } as const;
  t.same(settle(delivery, [], 100, middle), { kind: 'delivered', acknowledgedBy: ['a'], atMs: 100 });
  t.same(settle(delivery, [{ subscriptionId: 'b', result: ok, gateRetryAtMs: 0 }], 100, middle), {
    kind: 'delivered',
    acknowledgedBy: ['a', 'b'],
    atMs: 100,
  });
  t.same(
    settle(
      delivery,
      [
        { subscriptionId: 'b', result: ok, gateRetryAtMs: 0 },
        { subscriptionId: 'c', result: refused, gateRetryAtMs: 0 },
      ],
      100,
      middle,
    ),
    { kind: 'failed', dueMs: 30_100, reason: 'status-422', acknowledgedBy: ['a', 'b'], spendAttempt: true },
  );
  t.match(settle(delivery, [{ subscriptionId: 'b', result: down, gateRetryAtMs: 90_000 }], 100, middle), {
    dueMs: 90_250,
    spendAttempt: true,
  });
  t.match(settle(delivery, [{ subscriptionId: 'b', result: undefined, gateRetryAtMs: 90_000 }], 100, middle), {
    dueMs: 90_250,
    reason: 'endpoint-shut',
    spendAttempt: false,
  });
});

t.test('the clock follows the wall forward and never back', async (t) => {
  const at = { wall: 1_000_000, elapsed: 0 };
  const now = steadyNow(
    () => at.wall,
    () => at.elapsed,
  );
  t.equal(now(), 1_000_000);
  Object.assign(at, { wall: 1_000_500, elapsed: 500 });
  t.equal(now(), 1_000_500);
  Object.assign(at, { wall: 86_400_000, elapsed: 600 });
  t.equal(now(), 86_400_000, 'a step forward');
  Object.assign(at, { wall: 1_000_700, elapsed: 700 });
  t.equal(now(), 86_400_100, 'a step back: its own pace');
  Object.assign(at, { wall: 1_060_700, elapsed: 60_700 });
  t.equal(now(), 86_460_100);
  Object.assign(at, { wall: 90_000_000, elapsed: 60_800 });
  t.equal(now(), 90_000_000, 'the wall has caught up');
});
