import { test } from 'tap';
import { startDailySweep, startOfDay } from '../../src/life-cycle/daily-sweep.ts';
import { manualClock } from '../support/manual-clock.ts';

const hourMs = 60 * 60_000;
const settled = () => new Promise<void>((resolve) => setImmediate(resolve));

test('a day begins at midnight in Europe/London', async (t) => {
  for (const [date, instant] of [
    ['2026-01-15', '2026-01-15T00:00:00Z'],
    ['2026-03-29', '2026-03-29T00:00:00Z', 'the day on which summer time begins'],
    ['2026-03-30', '2026-03-29T23:00:00Z'],
    ['2026-07-15', '2026-07-14T23:00:00Z'],
    ['2026-10-25', '2026-10-24T23:00:00Z', 'the day on which it ends'],
    ['2026-10-26', '2026-10-26T00:00:00Z'],
  ] as const) {
    t.equal(new Date(startOfDay(date)).toISOString().replace('.000', ''), instant, date);
  }
});

test('sweeps at the start, and at the beginning of each day, in winter and in summer', async (t) => {
  for (const [start, first, second] of [
    ['2026-01-15T22:10:00Z', '2026-01-16T00:00:00Z', '2026-01-17T00:00:00Z'],
    ['2026-07-15T21:10:00Z', '2026-07-15T23:00:00Z', '2026-07-16T23:00:00Z'],
    ['2026-03-28T22:10:00Z', '2026-03-29T00:00:00Z', '2026-03-29T23:00:00Z'],
  ] as const) {
    const clock = manualClock(Date.parse(start));
    const at: number[] = [];
    const sweep = async () => {
      at.push(clock.now());
      return true;
    };
    const daily = startDailySweep({ clock, sweep, onError: (error) => t.error(error) });
    await clock.advance(27 * hourMs, settled);
    t.strictSame(
      at,
      [start, first, second].map((text) => Date.parse(text)),
      start,
    );
    await daily.stop();
    await clock.advance(72 * hourMs, settled);
    t.equal(at.length, 3, 'it has stopped');
  }
});

test('a sweep that failed is tried again in a minute, for the day that it then is', async (t) => {
  const clock = manualClock(Date.parse('2026-01-15T23:59:30Z'));
  const days: string[] = [];
  const errors: unknown[] = [];
  const daily = startDailySweep({
    clock,
    sweep: async (today) => {
      days.push(today);
      if (days.length === 1) throw new Error('the store is busy');
      return true;
    },
    onError: (error) => errors.push(error),
  });
  await clock.advance(2 * hourMs, settled);
  t.strictSame(days, ['2026-01-15', '2026-01-16']);
  t.equal(errors.length, 1);
  await daily.stop();
});

test('the date is checked each hour, because a timer can be late', async (t) => {
  const clock = manualClock(Date.parse('2026-01-15T10:00:00Z'));
  const days: string[] = [];
  const sweep = async (today: string) => {
    days.push(today);
    return true;
  };
  const daily = startDailySweep({ clock, sweep, onError: (error) => t.error(error) });
  await settled();
  clock.step(3 * 24 * hourMs);
  await clock.advance(hourMs, settled);
  t.strictSame(days, ['2026-01-15', '2026-01-18']);
  await daily.stop();
});
