import fc from 'fast-check';
import { test } from 'tap';
import { lastDayOf, lastDayUnder18 } from '../../src/cpis/life-cycle.ts';
import type { Plan } from '../../src/cpis/plan.ts';
import { showPlan, visibleFrom } from '../../src/cpis/visibility.ts';
import { kindCodes } from '../support/submissions.ts';

const open: Plan = {
  id: 'p',
  patientId: '9990000018',
  authorityId: 'E99000001',
  kind: kindCodes.LAC,
  status: 'active',
  start: '2023-01-10',
  end: undefined,
  dueDate: undefined,
  lastDay: undefined,
};

/** Returns what NHS staff see of a plan on a day: `open`, its end, or `hidden`. */
function seen(over: Partial<Plan>, birthDate: string, today: string, endedPlanVisibleDays = 365): string {
  const plan = { ...open, ...over };
  const shown = showPlan({ ...plan, lastDay: lastDayOf(plan, birthDate) }, { today, endedPlanVisibleDays });
  return shown === undefined ? 'hidden' : (shown.end ?? 'open');
}

test('the last day under 18 is the day before the birthday', async (t) => {
  for (const [birthDate, lastDay] of [
    ['2007-01-05', '2025-01-04'],
    ['2007-01-01', '2024-12-31'],
    ['2008-02-29', '2026-02-28', 'in a common year the birthday is 1 March'],
    ['2008-03-01', '2026-02-28'],
    ['2002-03-01', '2020-02-29'],
  ] as const) {
    t.equal(lastDayUnder18(birthDate), lastDay, birthDate);
  }
});

test('a child protection plan and a looked-after status end with the day before the 18th birthday', async (t) => {
  for (const kind of [kindCodes.CPP, kindCodes.LAC]) {
    const on = (today: string, over: Partial<Plan> = {}) => seen({ kind, ...over }, '2007-01-05', today);
    t.equal(on('2025-01-04'), 'open', 'the day before the birthday');
    t.equal(on('2025-01-05'), '2025-01-04', 'the birthday itself');
    t.equal(on('2026-01-04'), '2025-01-04', '365 days after the end');
    t.equal(on('2026-01-05'), 'hidden', '366 days after the end');
    t.equal(on('2025-01-05', { end: '2024-06-01', status: 'inactive' }), '2024-06-01', 'an earlier end stays');
    t.equal(on('2025-03-01', { end: '2025-02-01', status: 'inactive' }), '2025-01-04', 'a later end is cut');
    t.equal(on('2025-01-05', { start: '2025-01-04' }), '2025-01-04', 'a plan of one day');
    t.equal(on('2025-01-05', { status: 'entered-in-error' }), 'hidden');
    const late = { start: '2025-03-01', end: '2025-04-01', status: 'inactive' } as const;
    t.equal(on('2025-05-01', late), '2025-03-01', 'a birth date corrected afterwards: never before the start');
    t.equal(on('2026-03-01', late), '2025-03-01', 'and 365 days after the start');
    t.equal(on('2026-03-02', late), 'hidden');
  }
});

test('an unborn plan is shown until 28 days after the expected date of delivery', async (t) => {
  const on = (today: string, over: Partial<Plan> = {}, birthDate = '1996-01-01') =>
    seen({ kind: kindCodes.UCPP, start: '2025-01-10', dueDate: '2025-06-01', ...over }, birthDate, today);
  t.equal(on('2025-06-29'), 'open', '28 days after');
  t.equal(on('2025-06-30'), 'hidden', '29 days after');
  t.equal(on('2025-05-01', { end: '2025-04-01', status: 'inactive' }), '2025-04-01', 'ended by the authority');
  t.equal(on('2025-06-30', { end: '2025-04-01', status: 'inactive' }), 'hidden', 'no 365 days');
  t.equal(on('2025-11-14', { dueDate: undefined }), 'open', '44 weeks after the start');
  t.equal(on('2025-11-15', { dueDate: undefined }), 'hidden', 'and a day');
  t.equal(on('2025-06-01', {}, '2007-03-01'), 'open', 'the mother turned 18: the plan does not end by her age');
});

test('a plan is not shown before its first day', async (t) => {
  t.equal(seen({ start: '2026-05-02' }, '2015-01-01', '2026-05-01'), 'hidden');
  t.equal(seen({ start: '2026-05-02' }, '2015-01-01', '2026-05-02'), 'open');
});

test('an ended plan is shown for 365 days', async (t) => {
  const ended = (end: string, today: string, days = 365) =>
    seen({ end, status: 'inactive', start: '2020-01-01' }, '2019-01-01', today, days);
  t.equal(ended('2027-02-28', '2028-02-28'), '2027-02-28');
  t.equal(ended('2027-02-28', '2028-02-29'), 'hidden', 'across 29 February');
  t.equal(ended('2026-11-22', '2026-11-22', 0), '2026-11-22');
  t.equal(ended('2026-11-21', '2026-11-22', 0), 'hidden');
});

test('days are counted on the calendar', async (t) => {
  const date = fc.date({ min: new Date('1990-01-01'), max: new Date('2060-01-01'), noInvalidDate: true });
  fc.assert(
    fc.property(date, fc.nat({ max: 800 }), (end, days) => {
      const endDate = end.toISOString().slice(0, 10);
      // Counts day by day, as a person with a calendar does.
      const last = new Date(`${endDate}T12:00:00Z`);
      for (let passed = 0; passed < days; passed += 1) last.setUTCDate(last.getUTCDate() + 1);
      const today = last.toISOString().slice(0, 10);
      last.setUTCDate(last.getUTCDate() + 1);
      const tomorrow = last.toISOString().slice(0, 10);
      const over = { end: endDate, status: 'inactive', start: endDate } as const;
      t.equal(visibleFrom({ today, endedPlanVisibleDays: days }), endDate);
      t.equal(seen(over, '2059-01-01', today, days), endDate);
      t.equal(seen(over, '2059-01-01', tomorrow, days), 'hidden');
    }),
    { numRuns: 200 },
  );
});
