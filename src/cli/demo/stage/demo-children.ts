import { addMonths } from '../../../cpis/london-date.ts';
import { planKinds } from '../../../cpis/plan.ts';
import { type SyntheticPlan, syntheticNhsNumbers } from '../../../synthetic/synthetic-plan.ts';

/** The invented children of the demo and their parts in it. */
export interface DemoChildren {
  /** Number of people with a plan. */
  readonly count: number;
  /** The plans that each authority submits, by its position. */
  readonly records: readonly (readonly SyntheticPlan[])[];
  /** Submitted by the third authority: the NHS number of another authority's child, with another birth date. */
  readonly wrongChild: SyntheticPlan;
  /** Children that the EPR looks up. */
  readonly endedPlanChild: SyntheticPlan;
  readonly lookedAfterChild: SyntheticPlan;
  /** The plans of the first two authorities on one child. */
  readonly sharedChild: readonly [SyntheticPlan, SyntheticPlan];
  readonly mother: SyntheticPlan;
  /** The plan of the first authority on a child, and one that the second submits later, with another birth date. */
  readonly disputedChild: readonly [SyntheticPlan, SyntheticPlan];
  /** An NHS number that no authority submits. */
  readonly withoutPlan: string;
}

const kind = (code: keyof typeof planKinds) => ({ code, display: planKinds[code].display });
const cpp = kind('342191000000101');
const lac = kind('764841000000100');
const unborn = kind('818901000000100');

const givenNames = ['Ada', 'Ben', 'Cleo', 'Dara', 'Eli', 'Fern', 'Gus', 'Hana', 'Ivo', 'Juno'];
const familyStarts = ['Thistle', 'Bramble', 'Harrow', 'Quill', 'Marram', 'Fenny'];
const familyEnds = ['wick', 'mere', 'combe', 'shaw', 'ley'];
const children = 30;

/** Makes thirty people and their plans. `today` is `YYYY-MM-DD`. */
export function makeDemoChildren(today: string): DemoChildren {
  const numbers = syntheticNhsNumbers();
  const systems = ['northmoor', 'eastvale', 'westhaven'].map((name) => `https://${name}.example.org/case-reference`);
  const systemOf = (authority: number): string => systems[authority % systems.length] ?? '';

  const plans = Array.from({ length: children }, (_, index): SyntheticPlan => {
    const isMother = index === children - 1;
    const start = addMonths(today, -(4 + (index % 9)));
    const hasEnded = index % 9 === 8 && !isMother;
    return {
      nhsNumber: numbers.next().value,
      given: givenNames[index % givenNames.length] ?? '',
      family: `${familyStarts[index % 6]}${familyEnds[Math.floor(index / 6)]}`,
      birthDate: addMonths(today, isMother ? -29 * 12 : -(14 + index * 6)),
      kind: isMother ? unborn : index % 2 === 0 ? cpp : lac,
      start,
      ...(hasEnded ? { end: addMonths(today, -1) } : {}),
      reference: `CASE-${String(index + 1).padStart(4, '0')}`,
      referenceSystem: systemOf(index),
    };
  });
  const at = (index: number): SyntheticPlan => {
    const plan = plans[index];
    if (plan === undefined) throw new RangeError('no such child');
    return plan;
  };
  const shared: SyntheticPlan = {
    ...at(0),
    kind: lac,
    start: addMonths(today, -1),
    reference: 'CASE-0101',
    referenceSystem: systemOf(1),
  };
  const records = systems.map((_, authority) => plans.filter((_plan, index) => index % systems.length === authority));
  records[1]?.push(shared);
  const wrongChild: SyntheticPlan = {
    ...at(6),
    birthDate: addMonths(today, 7),
    reference: 'CASE-0102',
    referenceSystem: systemOf(2),
  };
  records[2]?.push(wrongChild);
  return {
    count: children,
    records,
    wrongChild,
    endedPlanChild: at(8),
    lookedAfterChild: at(7),
    sharedChild: [at(0), shared],
    mother: at(children - 1),
    disputedChild: [
      at(3),
      {
        ...at(3),
        ...{ birthDate: addMonths(at(3).birthDate, -12), kind: cpp, start: addMonths(today, -1) },
        ...{ reference: 'CASE-0103', referenceSystem: systemOf(1) },
      },
    ],
    withoutPlan: numbers.next().value,
  };
}
