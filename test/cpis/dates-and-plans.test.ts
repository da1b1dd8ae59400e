import { join } from 'node:path';
import fc from 'fast-check';
import type { Flag, Patient } from 'fhir/r4.js';
import { test } from 'tap';
import { checkBirthDate, checkPlan } from '../../src/cpis/check-plan.ts';
import { addMonths, ageInYears, londonDate } from '../../src/cpis/london-date.ts';
import { matchPatient, warnOfCorrection } from '../../src/cpis/patient-match.ts';
import { endsPlan, extractPlan, isHeld, type Plan } from '../../src/cpis/plan.ts';
import { isVisible, visibilityClauses } from '../../src/cpis/visibility.ts';
import { loadSearchParameters } from '../../src/fhir/definitions/search-parameters.ts';
import { extractIndexValues } from '../../src/fhir/search/extract-index-values.ts';
import { openSqliteStore } from '../../src/store/sqlite/open-sqlite-store.ts';
import { kindCodes } from '../support/submissions.ts';
import { makeTempFolder } from '../support/temp-folder.ts';

const day = 86_400_000;
const isoDay = (ms: number): string => new Date(ms).toISOString().slice(0, 10);

/** British Summer Time since 1996: from the last Sunday of March to that of October, 01:00 UTC. */
function isSummer(ms: number): boolean {
  const year = new Date(ms).getUTCFullYear();
  const lastSunday = (month: number): number => {
    const last = new Date(Date.UTC(year, month + 1, 0, 1));
    return last.getTime() - last.getUTCDay() * day;
  };
  return ms >= lastSunday(2) && ms < lastSunday(9);
}

test('the date in Europe/London, summer and winter', async (t) => {
  t.equal(londonDate(Date.parse('2026-06-30T22:59:59.999Z')), '2026-06-30');
  t.equal(londonDate(Date.parse('2026-06-30T23:00:00Z')), '2026-07-01', 'midnight of BST comes an hour early');
  t.equal(londonDate(Date.parse('2026-12-31T23:59:59.999Z')), '2026-12-31');
  t.equal(londonDate(Date.parse('2027-01-01T00:00:00Z')), '2027-01-01');
  t.equal(londonDate(Date.parse('2026-03-28T23:30:00Z')), '2026-03-28', 'the evening before the clocks go forward');
  t.equal(londonDate(Date.parse('2026-03-29T23:30:00Z')), '2026-03-30', 'the evening after');
  t.equal(londonDate(Date.parse('2026-10-24T23:30:00Z')), '2026-10-25', 'the evening before the clocks go back');
  t.equal(londonDate(Date.parse('2026-10-25T23:30:00Z')), '2026-10-25', 'the evening after');
  fc.assert(
    fc.property(fc.integer({ min: Date.UTC(1997, 0), max: Date.UTC(2037, 0) }), (ms) => {
      return londonDate(ms) === isoDay(ms + (isSummer(ms) ? 3_600_000 : 0));
    }),
    { numRuns: 1000 },
  );
});

test('months are calendar months, and ages change on birthdays', async (t) => {
  t.equal(addMonths('2026-03-31', -1), '2026-02-28');
  t.equal(addMonths('2024-03-31', -1), '2024-02-29');
  t.equal(addMonths('2026-01-15', -12), '2025-01-15');
  t.equal(addMonths('2024-02-29', -12), '2023-02-28');
  t.equal(addMonths('2026-12-31', 2), '2027-02-28');
  const anyDay = fc.integer({ min: Date.UTC(1990, 0), max: Date.UTC(2060, 0) }).map(isoDay);
  fc.assert(
    fc.property(anyDay, fc.integer({ min: -1200, max: 1200 }), (date, months) => {
      const moved = addMonths(date, months);
      const monthOf = (text: string): number => Number(text.slice(0, 4)) * 12 + Number(text.slice(5, 7));
      const [from, to] = [Number(date.slice(8)), Number(moved.slice(8))];
      const sameDay = to === from || (to < from && isoDay(Date.parse(moved) + day).endsWith('-01'));
      return monthOf(moved) === monthOf(date) + months && sameDay;
    }),
    { numRuns: 1000 },
  );
  t.equal(ageInYears('2008-06-15', '2026-06-14'), 17);
  t.equal(ageInYears('2008-06-15', '2026-06-15'), 18);
  t.equal(ageInYears('2008-02-29', '2026-02-28'), 17);
  t.equal(ageInYears('2008-02-29', '2026-03-01'), 18);
});

const plan: Plan = {
  id: 'p',
  patientId: '9990000018',
  authorityId: 'E99000001',
  kind: kindCodes.CPP,
  status: 'active',
  start: '2025-01-31',
  end: undefined,
  dueDate: undefined,
  lastDay: undefined,
};
const today = '2026-11-22';
const broken = (over: Partial<Plan>, birthDate = '2019-03-04'): string[] =>
  checkPlan({ ...plan, ...over }, birthDate, today).map((issue) => `${issue.code} ${issue.expression?.join()}`);

test('dates and subjects that cannot be are refused', async (t) => {
  const UCPP = kindCodes.UCPP;
  t.strictSame(broken({ start: '2019-03-03' }), ['business-rule Flag.period.start'], 'the day before the birth');
  t.strictSame(broken({ start: '2019-03-04' }), [], 'the day of the birth');
  t.strictSame(broken({ start: '2026-12-22' }), [], '30 days ahead');
  t.strictSame(broken({ start: '2026-12-23' }), ['business-rule Flag.period.start'], '31 days ahead');
  t.strictSame(broken({ kind: UCPP }, '2015-02-01'), ['business-rule Flag.subject'], 'nine years old');
  t.strictSame(broken({ kind: UCPP }, '2015-01-31'), [], 'ten years old');
  t.strictSame(checkPlan({ ...plan, start: '2027-12-23' }, undefined, today), [], 'an end is taken whatever the start');
  const birthDates = ['1899-12-31', '1900-01-01', today, '2026-11-23'];
  t.strictSame(
    birthDates.map((birthDate) => checkBirthDate(birthDate, today).length),
    [1, 0, 0, 1],
  );
});

test('checkPlan reports all broken rules of a plan at once', async (t) => {
  t.strictSame(broken({}), []);
  t.strictSame(broken({ end: today }), [], 'ended today');
  t.strictSame(broken({ end: '2026-11-23' }), ['business-rule Flag.period.end'], 'tomorrow is the future');
  t.strictSame(broken({ end: '2025-01-31' }), [], 'ended on the day that it began');
  t.strictSame(broken({ end: '2025-01-30' }), ['business-rule Flag.period.end']);
  t.strictSame(broken({}, '2007-02-01'), [], '18 tomorrow');
  t.strictSame(broken({}, '2007-01-31'), ['business-rule Flag.subject'], '18 on the day');
  t.strictSame(broken({ kind: kindCodes.LAC }, '1990-01-01'), ['business-rule Flag.subject']);
  t.strictSame(broken({ kind: kindCodes.UCPP }, '1990-01-01'), [], 'a mother may be an adult');
  t.strictSame(broken({ start: '2026-12-24', end: '2026-12-01' }, '1990-01-01'), [
    'business-rule Flag.period.end',
    'business-rule Flag.period.end',
    'business-rule Flag.period.start',
    'business-rule Flag.subject',
  ]);
  t.ok(isHeld(plan) && isHeld({ ...plan, status: 'inactive' }));
  t.notOk(isHeld({ ...plan, status: 'entered-in-error' }));
});

const flagOf = ({ id, patientId, authorityId, kind, status, start, end }: Plan): Flag => ({
  resourceType: 'Flag',
  id,
  status,
  code: { coding: [{ system: 'http://snomed.info/sct', code: kind }] },
  subject: { reference: `Patient/${patientId}` },
  author: { reference: `Organization/${authorityId}` },
  period: { start, ...(end === undefined ? {} : { end }) },
});

test('a plan is extracted from its Flag', async (t) => {
  fc.assert(
    fc.property(fc.constantFrom('active', 'inactive', 'entered-in-error'), fc.boolean(), (status, ended) => {
      const made: Plan = { ...plan, status, end: ended ? '2026-01-01' : undefined };
      t.strictSame(extractPlan(flagOf(made)), made);
    }),
  );
});

test('the store finds exactly the visible plans', async (t) => {
  const folder = makeTempFolder(t);
  const store = await openSqliteStore({
    folder,
    onFatal: (error) => {
      throw error;
    },
  });
  t.teardown(() => store.close());
  const definitions = loadSearchParameters(join(import.meta.dirname, '../../profiles'));
  const params = new Set(['status', 'date', 'patient']);
  const plans: Plan[] = [];
  const edge = Date.parse('2025-11-22');
  for (let offset = -40; offset <= 40; offset += 1) {
    for (const status of ['active', 'inactive', 'entered-in-error'] as const) {
      const end = status === 'active' ? undefined : isoDay(edge + offset * day);
      plans.push({ ...plan, id: `f${plans.length}`, status, start: isoDay(edge + (offset - 20) * day), end });
    }
  }
  const writes = plans.map((made) => {
    const flag = flagOf(made);
    const index = extractIndexValues(flag, definitions, { baseUrl: 'http://127.0.0.1', params });
    const fixed = { version: 1, method: 'POST' as const, labels: [], uniqueKeys: [], lastUpdatedMs: 1 };
    return { type: 'Flag', id: made.id, body: JSON.stringify(flag), index, ...fixed };
  });
  await store.commit({ writes, guards: [], audits: [] });
  await fc.assert(
    fc.asyncProperty(fc.integer({ min: -45, max: 500 }), fc.integer({ min: 0, max: 730 }), async (shift, days) => {
      const rule = { today: isoDay(edge + shift * day), endedPlanVisibleDays: days };
      const clauses = visibilityClauses(rule);
      const { matches } = await store.search({ type: 'Flag', clauses, sort: [], limit: 1000, total: false });
      const expected = plans.filter((made) => isVisible(made, rule)).map((made) => made.id);
      t.strictSame(matches.map((match) => match.id).sort(), expected.sort());
    }),
    { numRuns: 60 },
  );
});

const patient = (over: Partial<Patient> = {}): Patient => ({
  resourceType: 'Patient',
  name: [{ family: 'Müller', given: ['Ada', 'Bea'] }],
  birthDate: '2019-03-04',
  ...over,
});

test('a plan ends whatever is recorded of the child, when nothing else about it changes', (t) => {
  const plan = (over: Partial<Plan> = {}): Plan => ({
    id: 'p',
    patientId: '9990000018',
    authorityId: 'E99000001',
    kind: '342191000000101',
    status: 'active',
    start: '2025-01-31',
    end: undefined,
    dueDate: undefined,
    lastDay: undefined,
    ...over,
  });
  const ended = plan({ status: 'inactive', end: '2026-01-31' });
  const withdrawn = plan({ status: 'entered-in-error' });
  const cases: [string, Plan, Plan, boolean][] = [
    ['ended', ended, plan(), true],
    ['ended again, another end', { ...ended, end: '2026-02-01' }, ended, true],
    ['withdrawn', withdrawn, plan(), true],
    ['withdrawn after its end', withdrawn, ended, true],
    ['withdrawn twice', withdrawn, withdrawn, true],
    ['withdrawn with another start', { ...withdrawn, start: '2024-01-01' }, plan(), true],
    ['amended', plan({ start: '2024-01-01' }), plan(), false],
    ['opened again', plan(), ended, false],
    ['ended with another start', { ...ended, start: '2024-01-01' }, plan(), false],
    ['ended as another kind', { ...ended, kind: '764841000000100' }, plan(), false],
    ['no longer withdrawn', ended, withdrawn, false],
  ];
  for (const [name, next, known, expected] of cases) t.equal(endsPlan(next, known), expected, name);
  t.end();
});

test('matching: a birth date and a name differ from what was stated before', async (t) => {
  const warned = (submitted: Patient, known = patient()): string => {
    const issues = warnOfCorrection(matchPatient(submitted, known));
    return issues.flatMap(({ expression = [] }) => expression).join();
  };
  t.equal(warned(patient()), '');
  t.equal(warned(patient({ birthDate: '2019-03-05' })), 'Patient.birthDate');
  t.equal(warned(patient({ name: [{ family: 'MULLER', given: ['ADA'] }] })), '', 'case and accents');
  t.equal(
    warned(patient({ name: [{ family: 'Muller', given: ['Bea'] }] })),
    'Patient.name',
    'the first given name counts',
  );
  t.equal(warned(patient({ name: [{ family: 'Other', given: ['Ada'] }] })), 'Patient.name');
  const both = patient({ name: [{ text: 'nobody' }, { family: 'Müller', given: ['Ada'] }] });
  t.equal(warned(both), '', 'one of several names is enough');
  t.equal(warned(patient(), patient({ name: [] })), '', 'no name is recorded');
  const issue = warnOfCorrection(matchPatient(patient({ birthDate: '2000-01-01' }), patient()));
  t.notMatch(JSON.stringify(issue), /2000|2019|Ada|ller/, 'nothing of either child is repeated');
});
