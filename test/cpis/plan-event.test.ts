import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import type { CodeSystem } from 'fhir/r4.js';
import { test } from 'tap';
import { lastDayOf } from '../../src/cpis/life-cycle.ts';
import { addDays } from '../../src/cpis/london-date.ts';
import type { Plan } from '../../src/cpis/plan.ts';
import { decideToday, isUnconfirmed, planEventDisplays } from '../../src/cpis/plan-event.ts';
import { markConfirmed, markNotified, planLabels } from '../../src/cpis/plan-labels.ts';
import { showPlan } from '../../src/cpis/visibility.ts';
import { kindCodes } from '../support/submissions.ts';

const base: Plan = {
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

interface Case {
  readonly plan?: Partial<Plan>;
  readonly birthDate?: string;
  readonly today: string;
  /** `code date` of each mark. */
  readonly notified?: readonly string[];
  /** Never unconfirmed if left out. */
  readonly confirmed?: string;
}

function openPlan({ plan: over, birthDate = '2007-01-05', today, notified = [], confirmed = today }: Case) {
  const plan = { ...base, ...over };
  let labels = markConfirmed(planLabels(plan, birthDate, []), confirmed);
  for (const mark of notified) {
    const [code = '', date = ''] = mark.split(' ');
    labels = markNotified(labels, code, date);
  }
  return { plan: { ...plan, lastDay: lastDayOf(plan, birthDate) }, labels, writtenOn: today };
}

/** Returns what is due: `code date` of each event, then `end date`. */
function due(given: Case): string[] {
  const rule = { today: given.today, unconfirmedAfterDays: 90 };
  const { events, end } = decideToday(openPlan(given), rule);
  return [...events.map(({ code, date }) => `${code} ${date}`), ...(end === undefined ? [] : [`end ${end}`])];
}

const unborn = { kind: kindCodes.UCPP, start: '2025-01-10', dueDate: '2025-06-01' };
const undated = { kind: kindCodes.UCPP, start: '2025-01-10', dueDate: undefined };

const cases: readonly (readonly [name: string, given: Case, due: readonly string[]])[] = [
  ['31 days before the 18th birthday', { today: '2024-12-05' }, []],
  ['30 days before', { today: '2024-12-06' }, ['ends-soon 2025-01-04']],
  ['30 days before, notified', { today: '2024-12-06', notified: ['ends-soon 2025-01-04'] }, []],
  ['a day was missed', { today: '2024-12-20' }, ['ends-soon 2025-01-04']],
  ['the day before the birthday', { today: '2025-01-04', notified: ['ends-soon 2025-01-04'] }, []],
  ['the birthday', { today: '2025-01-05' }, ['ended 2025-01-04', 'end 2025-01-04']],
  [
    'weeks were missed: no warning of what has happened',
    { today: '2025-03-01' },
    ['ended 2025-01-04', 'end 2025-01-04'],
  ],
  [
    'a plan that was ended and is open again ends again',
    { today: '2025-01-05', notified: ['ended 2025-01-04'] },
    ['ended 2025-01-04', 'end 2025-01-04'],
  ],
  [
    'a corrected birth date is a new date',
    { today: '2024-12-20', notified: ['ends-soon 2025-03-04'] },
    ['ends-soon 2025-01-04'],
  ],
  [
    'a plan that starts on the last day',
    { plan: { start: '2025-01-04' }, today: '2025-01-05' },
    ['ended 2025-01-04', 'end 2025-01-04'],
  ],
  [
    'a birth date that makes the start too late: not before the start',
    { plan: { start: '2025-02-01' }, today: '2025-03-01' },
    ['ended 2025-01-04', 'end 2025-02-01'],
  ],
  [
    'born on 29 February, in a common year',
    { birthDate: '2008-02-29', today: '2026-02-28', notified: ['ends-soon 2026-02-28'] },
    [],
  ],
  [
    'the day after is the birthday',
    { birthDate: '2008-02-29', today: '2026-03-01' },
    ['ended 2026-02-28', 'end 2026-02-28'],
  ],
  [
    'the birthday is 1 March of a leap year',
    { birthDate: '2002-03-01', today: '2020-02-29', notified: ['ends-soon 2020-02-29'] },
    [],
  ],
  [
    'a mother who turns 18 keeps her unborn child’s plan',
    { plan: unborn, birthDate: '2007-01-20', today: '2025-01-25' },
    [],
  ],
  ['29 days before the due date', { plan: unborn, today: '2025-05-03' }, []],
  ['28 days before', { plan: unborn, today: '2025-05-04' }, ['birth-due 2025-06-01']],
  ['28 days before, notified', { plan: unborn, today: '2025-05-10', notified: ['birth-due 2025-06-01'] }, []],
  [
    'a corrected due date',
    { plan: unborn, today: '2025-05-10', notified: ['birth-due 2025-06-08'] },
    ['birth-due 2025-06-01'],
  ],
  ['28 days after the due date', { plan: unborn, today: '2025-06-29', notified: ['birth-due 2025-06-01'] }, []],
  ['29 days after', { plan: unborn, today: '2025-06-30' }, ['no-longer-shown 2025-06-29', 'end 2025-06-29']],
  [
    'open again after it was no longer shown: once',
    { plan: unborn, today: '2025-07-10', notified: ['no-longer-shown 2025-06-29'] },
    [],
  ],
  ['299 days without a due date', { plan: undated, today: '2025-11-05' }, []],
  ['300 days', { plan: undated, today: '2025-11-06' }, ['due-date-missing 2025-11-14']],
  ['300 days, notified', { plan: undated, today: '2025-11-07', notified: ['due-date-missing 2025-11-14'] }, []],
  ['44 weeks', { plan: undated, today: '2025-11-14', notified: ['due-date-missing 2025-11-14'] }, []],
  ['44 weeks and a day', { plan: undated, today: '2025-11-15' }, ['no-longer-shown 2025-11-14', 'end 2025-11-14']],
  ['89 days since the last confirmation', { today: '2024-03-30', confirmed: '2024-01-01' }, []],
  ['90 days', { today: '2024-03-31', confirmed: '2024-01-01' }, ['unconfirmed 2024-01-01']],
  ['six days later', { today: '2024-04-06', confirmed: '2024-01-01', notified: ['unconfirmed 2024-03-31'] }, []],
  [
    'a week later',
    { today: '2024-04-07', confirmed: '2024-01-01', notified: ['unconfirmed 2024-03-31'] },
    ['unconfirmed 2024-01-01'],
  ],
  [
    'two events on one day',
    { today: '2024-12-06', confirmed: '2024-01-01' },
    ['ends-soon 2025-01-04', 'unconfirmed 2024-01-01'],
  ],
  [
    'a plan that is over need not be confirmed',
    { today: '2025-01-05', confirmed: '2024-01-01' },
    ['ended 2025-01-04', 'end 2025-01-04'],
  ],
];

test('what is due for an open plan on a day', async (t) => {
  for (const [name, given, expected] of cases) t.strictSame(due(given), expected, name);
});

test('a plan that was stored without marks counts as confirmed when it was written', async (t) => {
  const { plan } = openPlan({ today: '2024-01-01' });
  const stored = { plan, labels: planLabels(plan, '2007-01-05', []), writtenOn: '2024-01-01' };
  t.equal(isUnconfirmed(stored, { today: '2024-03-30', unconfirmedAfterDays: 90 }), false);
  t.equal(isUnconfirmed(stored, { today: '2024-03-31', unconfirmedAfterDays: 90 }), true);
});

test('the marks of what was done make nothing due again on the same day', async (t) => {
  for (const [name, given] of cases) {
    const open = openPlan(given);
    const rule = { today: given.today, unconfirmedAfterDays: 90 };
    const { labels, end } = decideToday(open, rule);
    if (end === undefined) t.strictSame(decideToday({ ...open, labels }, rule).events, [], name);
  }
});

test('the end that is written changes nothing that NHS staff see', async (t) => {
  const day = fc.nat({ max: 1500 });
  fc.assert(
    fc.property(
      fc.constantFrom(...Object.values(kindCodes)),
      day,
      day,
      fc.option(day),
      day,
      (kind, birth, start, birthDue, on) => {
        const today = addDays('2025-01-01', on);
        const dueDate = birthDue === null || kind !== kindCodes.UCPP ? undefined : addDays('2024-01-01', birthDue);
        const over = { kind, start: addDays('2023-01-01', start), dueDate };
        const given = { plan: over, birthDate: addDays('2006-01-01', birth), today };
        const open = openPlan(given);
        const { end } = decideToday(open, { today, unconfirmedAfterDays: 90 });
        if (end === undefined) return;
        const ended: Plan = { ...open.plan, status: 'inactive', end };
        const days = Array.from({ length: 60 }, (_, week) => addDays(today, 7 * week));
        const seen = (plan: Plan) => days.map((on) => showPlan(plan, { today: on, endedPlanVisibleDays: 365 }));
        t.strictSame(seen(ended), seen(open.plan));
      },
    ),
    { numRuns: 150 },
  );
});

test('the codes are those of the code system', async (t) => {
  const file = join(import.meta.dirname, '../../profiles/cpis-plan-life-cycle-code-system.json');
  const { concept = [] } = JSON.parse(readFileSync(file, 'utf8')) as CodeSystem;
  t.strictSame(Object.fromEntries(concept.map(({ code, display }) => [code, display])), planEventDisplays);
});
