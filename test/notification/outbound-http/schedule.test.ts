import fc from 'fast-check';
import t from 'tap';
import { openSteadyTime } from '../../../src/clock/clock.ts';
import {
  type Breaker,
  beginAttempt,
  type EndpointAnswer,
  freshBreaker,
  maxRefused,
  noteAttempt,
  stanceOf,
} from '../../../src/notification/delivery/breaker.ts';
import { fullRate, takeToken } from '../../../src/notification/delivery/rate-limit.ts';
import { parkAfterAttempts, settle } from '../../../src/notification/delivery/settlement.ts';
import { parseRetryAfter } from '../../../src/notification/outbound-http/parse-retry-after.ts';
import { longestDelayMs, retryDelayMs } from '../../../src/notification/outbound-http/schedule.ts';

const middle = () => 0.5;

t.test('the steps of the schedule, their jitter, and the longest wait', async (t) => {
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

const down = { kind: 'failed', retryAfterMs: undefined, throttles: false } as const;

t.test(
  'the breaker: one probe at a time, parallel attempts count once, a late response does not end throttling',
  async (t) => {
    const note = (breaker: Breaker, round: number, answer: EndpointAnswer, atMs: number, event = 'a') =>
      noteAttempt(breaker, { round, event, answer, atMs }, middle);
    t.equal(stanceOf(freshBreaker, 0), 'open');
    let breaker = note(beginAttempt(freshBreaker), 0, down, 0);
    breaker = note(breaker, 0, down, 10);
    t.match(breaker, { failures: 1, retryAtMs: 5000, round: 1 });
    t.equal(stanceOf(breaker, 4999), 'closed');
    t.equal(stanceOf(breaker, 5000), 'probe');
    breaker = beginAttempt(breaker);
    t.equal(stanceOf(breaker, 5001), 'closed', 'while the probe is under way');
    breaker = note(breaker, 1, down, 6000);
    t.match(breaker, { failures: 2, retryAtMs: 36_000 });
    breaker = note(breaker, 0, { kind: 'acknowledged' }, 6001);
    t.equal(stanceOf(breaker, 6001), 'open', 'an answer to an older attempt shows that the endpoint lives');

    const { round } = breaker;
    breaker = note(breaker, round, { kind: 'failed', retryAfterMs: 60_000, throttles: false }, 7000);
    breaker = note(breaker, round, { kind: 'acknowledged' }, 7001);
    t.equal(stanceOf(breaker, 7001), 'closed');
    t.equal(stanceOf(breaker, 67_000), 'probe');
  },
);

t.test(
  'an endpoint that refuses ten different events is taken to be down; one that refuses a single event is not',
  async (t) => {
    let breaker = freshBreaker;
    const refuse = (event: string, atMs: number) =>
      noteAttempt(beginAttempt(breaker), { round: breaker.round, event, answer: { kind: 'refused' }, atMs }, middle);
    for (let n = 0; n < 100; n += 1) breaker = refuse('a', n);
    t.equal(stanceOf(breaker, 100), 'open');
    for (let n = 1; n < maxRefused; n += 1) {
      t.equal(stanceOf(breaker, 100), 'open');
      breaker = refuse(`b${n}`, 100);
    }
    t.equal(stanceOf(breaker, 5_099), 'closed');
    breaker = refuse('c', 5_100);
    t.match(breaker, { failures: 2, retryAtMs: 35_100 }, 'a probe that is refused as well');
    breaker = noteAttempt(
      breaker,
      { round: breaker.round, event: 'd', answer: { kind: 'acknowledged' }, atMs: 40_000 },
      middle,
    );
    t.match(breaker, { failures: 0, refused: [] });
  },
);

t.test('while few events have failed, an untried one is sent at once', async (t) => {
  let breaker = freshBreaker;
  const failing = (event: string, answer: EndpointAnswer = down) => {
    breaker = noteAttempt(beginAttempt(breaker), { round: breaker.round, event, answer, atMs: 0 }, middle);
  };
  failing('a');
  t.same([stanceOf(breaker, 1, 'a'), stanceOf(breaker, 1, 'b'), stanceOf(breaker, 1)], ['closed', 'probe', 'closed']);
  t.equal(stanceOf(beginAttempt(breaker), 1, 'b'), 'closed', 'one at a time');
  failing('b');
  failing('a');
  t.equal(stanceOf(breaker, 1, 'c'), 'probe');
  failing('c');
  t.equal(stanceOf(breaker, 1, 'd'), 'closed', 'three say that it is the endpoint');
  breaker = freshBreaker;
  failing('a', { ...down, throttles: true });
  t.equal(stanceOf(breaker, 1, 'b'), 'closed', 'it asked to be left alone');
});

t.test('the rate limit: one second of it may be used at once after a pause, and no more', async (t) => {
  let limit = fullRate(10, 0);
  let taken = 0;
  for (let atMs = 0; atMs < 10_000; atMs += 10) {
    const next = takeToken(limit, 10, atMs);
    limit = next.limit;
    if (next.waitMs === 0) taken += 1;
    else t.ok(takeToken(limit, 10, atMs + next.waitMs).waitMs === 0, 'the wait is long enough');
  }
  t.ok(taken >= 108 && taken <= 110, `${taken}`);
});

t.test('how the results of one round are settled', async (t) => {
  const delivery = { attempts: 1, acknowledgedBy: ['a'], parked: false };
  const open = { subscriptionId: 'b', probeInMs: 0, isProbe: false };
  const ok = { kind: 'acknowledged', status: 200 } as const;
  const refused = { kind: 'failed', reason: 'status-422', endpointAlive: true } as const;
  const timeout = { kind: 'failed', reason: 'timeout', endpointAlive: false } as const;
  t.same(settle(delivery, [], 100, middle), { kind: 'delivered', acknowledgedBy: ['a'], atMs: 100 });
  t.same(settle(delivery, [{ ...open, result: ok }], 100, middle), {
    kind: 'delivered',
    acknowledgedBy: ['a', 'b'],
    atMs: 100,
  });
  t.same(
    settle(
      delivery,
      [
        { ...open, result: ok },
        { ...open, subscriptionId: 'c', result: refused },
      ],
      100,
      middle,
    ),
    { kind: 'failed', dueMs: 30_100, reason: 'status-422', acknowledgedBy: ['a', 'b'], spendAttempt: true },
  );
  t.match(settle(delivery, [{ ...open, probeInMs: 90_000, result: timeout }], 100, middle), {
    dueMs: 90_350,
    spendAttempt: true,
  });
  t.match(settle(delivery, [{ ...open, probeInMs: 90_000, isProbe: true, result: timeout }], 100, middle), {
    dueMs: 90_350,
    spendAttempt: false,
  });
  t.match(settle(delivery, [{ ...open, probeInMs: 90_000, result: undefined }], 100, middle), {
    dueMs: 100 + longestDelayMs,
    reason: 'endpoint-shut',
    spendAttempt: false,
  });
  const last = { ...delivery, attempts: parkAfterAttempts - 1 };
  t.match(settle(last, [{ ...open, result: refused }], 100, middle), { park: true });
  t.notOk('park' in settle(last, [{ ...open, isProbe: true, result: timeout }], 100, middle), 'not for a probe');
  t.notOk('park' in settle({ ...last, parked: true }, [{ ...open, result: refused }], 100, middle), 'once');
});

t.test('the clock follows the wall clock, a jump only when it lasts, and never goes back', async (t) => {
  const startMs = 1_000_000_000;
  const at = { wall: startMs, elapsed: 0 };
  const { now, aheadMs } = openSteadyTime(
    () => at.wall,
    () => at.elapsed,
  );
  const pass = (ms: number): number => {
    at.wall += ms;
    at.elapsed += ms;
    return now() - startMs;
  };
  t.equal(pass(500), 500);
  at.wall += 30_000;
  t.equal(pass(0), 30_500, 'a small step is followed at once');
  at.wall += 86_400_000;
  t.equal(pass(60_000), 90_500, 'a leap is not believed at once');
  t.equal(aheadMs(), -86_400_000);
  at.wall -= 86_400_000;
  t.equal(pass(100_000), 190_500, 'a glitch has passed without a trace');
  at.wall += 86_400_000;
  pass(0);
  pass(119_999);
  t.equal(pass(1), 86_400_000 + 310_500, 'a leap that lasts is followed');
  at.wall -= 100_000;
  t.equal(pass(0), 86_400_000 + 310_500, 'a step back: it does not go back');
  t.equal(aheadMs(), 100_000);
  t.equal(pass(100_000), 86_400_000 + 400_500, 'but goes slower');
  t.equal(pass(900_000), 86_400_000 + 1_210_500, 'until both have met');
  t.equal(aheadMs(), 0);
  let last = now();
  fc.assert(
    fc.property(fc.integer({ min: -1e9, max: 1e9 }), fc.nat(1e6), (step, ms) => {
      at.wall += step;
      pass(ms);
      const next = now();
      const forward = next >= last;
      last = next;
      return forward;
    }),
  );
});
