import fc from 'fast-check';
import { test } from 'tap';
import { addDays } from '../../src/cpis/london-date.ts';
import type { Plan } from '../../src/cpis/plan.ts';
import { findOverlap } from '../../src/cpis/plan-overlap.ts';
import { kindCodes } from '../support/submissions.ts';

const held: Plan = {
  id: 'held',
  patientId: '9990000018',
  authorityId: 'E99000001',
  kind: kindCodes.CPP,
  status: 'inactive',
  start: '2024-03-01',
  end: '2024-06-30',
  dueDate: undefined,
  lastDay: '2030-01-01',
};
const next: Plan = { ...held, id: 'next', status: 'active', start: '2024-05-01', end: undefined };
const overlaps = (over: Partial<Plan>, heldOver: Partial<Plan> = {}, known?: Plan): boolean =>
  findOverlap({ ...next, ...over }, known, [{ ...held, ...heldOver }]) !== undefined;

test('plans of one authority, child and kind that have a day in common overlap', async (t) => {
  for (const [name, over, heldOver, expected] of [
    ['open beside ended', {}, {}, true],
    ['both open', {}, { end: undefined, status: 'active' }, true],
    ['starts on the day of the end', { start: '2024-06-30' }, {}, true],
    ['starts on the day after the end', { start: '2024-07-01' }, {}, false],
    ['ends on the day of the start', { start: '2024-01-01', end: '2024-03-01' }, {}, true],
    ['ends on the day before the start', { start: '2024-01-01', end: '2024-02-29' }, {}, false],
    ['ended within', { start: '2024-04-01', end: '2024-04-02' }, {}, true],
    ['starts after the end by age', { start: '2024-05-01' }, { end: undefined, lastDay: '2024-04-30' }, false],
    ['starts on the day of the end by age', { start: '2024-05-01' }, { end: undefined, lastDay: '2024-05-01' }, true],
    ['the end by age cuts a later end', { start: '2024-05-01' }, { lastDay: '2024-04-30' }, false],
    ['the end by age is before the start', { start: '2024-03-01' }, { lastDay: '2024-02-01' }, true],
    ['another kind', { kind: kindCodes.LAC }, {}, false],
    ['both looked after', { kind: kindCodes.LAC }, { kind: kindCodes.LAC }, true],
    ['twins', { kind: kindCodes.UCPP }, { kind: kindCodes.UCPP, end: undefined }, false],
    ['the held one withdrawn', {}, { status: 'entered-in-error' }, false],
    ['the new one withdrawn', { status: 'entered-in-error' }, {}, false],
    ['another authority', {}, { authorityId: 'E99000002' }, false],
    ['another child', {}, { patientId: '9990000026' }, false],
    ['itself', { id: 'held' }, {}, false],
  ] as const) {
    t.equal(overlaps(over, heldOver), expected, name);
  }
});

test('an amendment may overlap only where the recorded plan did', async (t) => {
  const known: Plan = { ...next, start: '2024-05-01', end: undefined };
  for (const [name, over, before, expected] of [
    ['unchanged', {}, known, false],
    ['ended', { status: 'inactive', end: '2024-06-01' }, known, false],
    ['a later start', { start: '2024-06-01' }, known, false],
    ['an earlier start', { start: '2024-04-30' }, known, true],
    ['a later end', { end: '2024-06-02' }, { ...known, end: '2024-06-01' }, true],
    ['an earlier end', { end: '2024-05-31' }, { ...known, end: '2024-06-01' }, false],
    ['open again', {}, { ...known, end: '2024-06-01' }, true],
    ['another kind', {}, { ...known, kind: kindCodes.LAC }, true],
    ['revived', {}, { ...known, status: 'entered-in-error' }, true],
  ] as const) {
    t.equal(overlaps(over, {}, before), expected, name);
  }
});

test('property: two plans overlap exactly if a day belongs to both', async (t) => {
  const day = fc.integer({ min: 0, max: 12 });
  const period = fc.tuple(day, fc.option(day, { nil: undefined }), fc.option(day, { nil: undefined }));
  const dateOf = (offset: number): string => addDays('2024-02-25', offset);
  const planOf = (
    id: string,
    [start, length, lastDay]: readonly [number, number | undefined, number | undefined],
  ): Plan => ({
    ...held,
    id,
    start: dateOf(start),
    end: length === undefined ? undefined : dateOf(start + length),
    lastDay: lastDay === undefined ? undefined : dateOf(start + lastDay),
  });
  const has = ({ start, end, lastDay }: Plan, date: string): boolean =>
    start <= date && (end === undefined || date <= end) && (lastDay === undefined || date <= lastDay);
  fc.assert(
    fc.property(period, period, (a, b) => {
      const [one, other] = [planOf('a', a), planOf('b', b)];
      const days = Array.from({ length: 40 }, (_, offset) => dateOf(offset));
      const expected = days.some((date) => has(one, date) && has(other, date));
      return (findOverlap(one, undefined, [other]) !== undefined) === expected;
    }),
    { seed: 20261201, numRuns: 500 },
  );
  t.pass('holds');
});
