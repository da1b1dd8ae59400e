import fc from 'fast-check';
import t from 'tap';
import { openSteadyTime } from '../../src/clock/clock.ts';
import { openElapsedTime } from '../../src/clock/elapsed-time.ts';

const minuteMs = 60_000;
const hourMs = 60 * minuteMs;
const startMs = Date.parse('2026-11-20T09:00:00Z');

/** A steady clock on a machine whose clocks a test moves. */
function machine() {
  const at = { wallMs: startMs, elapsedMs: 0, sleptMs: 0 };
  const steady = openSteadyTime(
    () => at.wallMs,
    () => at.elapsedMs,
    () => at.sleptMs,
  );
  return {
    ...steady,
    /** Time passes, and the clock is looked at each minute, as the watch does. */
    pass: (ms: number) => {
      for (let leftMs = ms; leftMs > 0; leftMs -= minuteMs) {
        at.wallMs += Math.min(leftMs, minuteMs);
        at.elapsedMs += Math.min(leftMs, minuteMs);
        steady.now();
      }
    },
    set: (byMs: number) => {
      at.wallMs += byMs;
    },
    sleep: (ms: number) => {
      at.wallMs += ms;
      at.sleptMs += ms;
    },
  };
}

t.test('an age does not include the jump of a clock that was set forward', async (t) => {
  const { now, ageMs, pass, set } = machine();
  const recordedMs = now();
  pass(hourMs);
  t.equal(ageMs(recordedMs), hourMs);
  set(24 * hourMs);
  pass(hourMs);
  t.ok(now() - recordedMs >= 26 * hourMs, 'the leap is followed');
  t.equal(ageMs(recordedMs), 2 * hourMs);
  const later = now();
  pass(3 * hourMs);
  t.equal(ageMs(later), 3 * hourMs, 'what is recorded after it');
  t.equal(ageMs(recordedMs), 5 * hourMs);
  t.equal(ageMs(startMs - 30 * hourMs), 35 * hourMs, 'what was recorded before the start');
  const inTheLeap = ageMs(recordedMs + 10 * hourMs);
  t.ok(inTheLeap >= 3 * hourMs && inTheLeap <= 5 * hourMs, 'by another server, while this one had not followed yet');
  t.equal(ageMs(now() + hourMs), 0, 'what is yet to come');
});

t.test('a clock that was set back, and runs slowly, makes no age smaller', async (t) => {
  const { now, ageMs, pass, set } = machine();
  const recordedMs = now();
  set(-24 * hourMs);
  pass(20 * hourMs);
  t.ok(now() - recordedMs < 18.1 * hourMs);
  t.ok(Math.abs(ageMs(recordedMs) - 20 * hourMs) <= 10_000);
});

t.test('an age includes the time that a machine was suspended', async (t) => {
  const { now, ageMs, pass, sleep } = machine();
  const recordedMs = now();
  pass(hourMs);
  sleep(24 * hourMs);
  pass(hourMs);
  t.equal(ageMs(recordedMs), 26 * hourMs);
});

t.test('for any course of the clock an age is the real time, within the tolerance', async (t) => {
  const steps = fc.array(
    fc.tuple(fc.integer({ min: 1, max: 90 }), fc.constantFrom(0, 0, 30_000, -30_000, hourMs, -hourMs, 24 * hourMs)),
    { minLength: 1, maxLength: 12 },
  );
  const property = fc.property(steps, (each) => {
    const { now, ageMs, pass, set } = machine();
    const recorded: { atMs: number; passedMs: number }[] = [];
    let passedMs = 0;
    for (const [minutes, byMs] of each) {
      recorded.push({ atMs: now(), passedMs });
      set(byMs);
      pass(minutes * minuteMs);
      passedMs += minutes * minuteMs;
    }
    // A clock that is set within the tolerance, or followed at once, may make an age wrong by as much.
    return recorded.every((event) => Math.abs(ageMs(event.atMs) - (passedMs - event.passedMs)) <= 130_000);
  });
  t.doesNotThrow(() => fc.assert(property));
});

t.test('the record stays small, however long the clock is wrong', async (t) => {
  const passed = openElapsedTime();
  for (let elapsedMs = 0; elapsedMs <= 240 * hourMs; elapsedMs += minuteMs)
    passed.note(startMs + elapsedMs * 0.9, elapsedMs);
  const dayAgo = startMs + 216 * hourMs * 0.9;
  t.ok(Math.abs(passed.since(dayAgo) - 24 * hourMs) <= 10_000);
  t.ok(passed.since(startMs) >= 48 * hourMs, 'what is older is old');
});
