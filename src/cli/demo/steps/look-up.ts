import { randomUUID } from 'node:crypto';
import { performance } from 'node:perf_hooks';
import type { Bundle, Flag, Organization } from 'fhir/r4.js';
import type { DemoChildren } from '../stage/demo-children.ts';
import type { DemoCareProvider } from '../stage/demo-world.ts';
import { type ElevenItems, extractElevenItems } from '../stage/eleven-items.ts';
import type { Stage } from '../stage/stage.ts';

/** A look-up and its response. */
export interface LookUp {
  readonly nhsNumber: string;
  readonly requestId: string;
  readonly status: number;
  /** `performance.now()` when the response had been read completely. */
  readonly answeredMs: number;
  readonly tookMs: number;
  readonly careProvider: DemoCareProvider;
  /** One set for each authority with a plan. */
  readonly shown: readonly ElevenItems[];
}

/** Sends `Flag?patient=` as an EPR. */
export async function lookUp(careProvider: DemoCareProvider, nhsNumber: string): Promise<LookUp> {
  const requestId = randomUUID();
  const startedMs = performance.now();
  const { status, body } = await careProvider.client.request<Bundle<Flag | Organization>>(
    'GET',
    `Flag?patient=${nhsNumber}`,
    undefined,
    { 'x-request-id': requestId },
  );
  const answeredMs = performance.now();
  const shown = extractElevenItems(body);
  return { nhsNumber, requestId, status, answeredMs, tookMs: answeredMs - startedMs, careProvider, shown };
}

const none = '-';
const startOf = ({ start }: { readonly start: string }): string => (start === '' ? none : start);
const endOf = ({ start, end }: ElevenItems['lookedAfter']): string => (start === '' ? none : end === '' ? 'open' : end);

const rows: readonly (readonly [label: string, value: (items: ElevenItems) => string])[] = [
  ['NHS number', (items) => items.nhsNumber],
  ['LA name', (items) => items.authorityName],
  ['LA code', (items) => items.authorityCode],
  ['Emergency duty', (items) => items.emergencyDutyTeamTelephone],
  ['Office hours', (items) => items.officeHoursTelephone],
  ['CPP start', (items) => startOf(items.childProtectionPlan)],
  ['CPP end', (items) => endOf(items.childProtectionPlan)],
  ['LAC start', (items) => startOf(items.lookedAfter)],
  ['LAC end', (items) => endOf(items.lookedAfter)],
  ['Unborn start', (items) => startOf(items.unbornChildProtectionPlan)],
  ['Unborn end', (items) => endOf(items.unbornChildProtectionPlan)],
];

/** Shows the eleven data items, with a column for each child and authority. */
function showElevenItems({ screen }: Stage, lookUps: readonly LookUp[]): void {
  const columns = lookUps.flatMap(({ shown, nhsNumber }) =>
    shown.length === 0
      ? [rows.map((_, index) => (index === 0 ? nhsNumber : index === 1 ? 'no plan' : ''))]
      : shown.map((items) => rows.map(([, value]) => value(items))),
  );
  screen.table(rows.map(([label], index) => [label, ...columns.map((column) => column[index] ?? '')]));
}

/** Looks up five children from one EPR, one of them without a plan, and one again from another EPR. */
export async function lookUpFive(stage: Stage, children: DemoChildren): Promise<LookUp[]> {
  const { world, screen, check } = stage;
  const [epr, secondEpr] = world.careProviders;
  const { endedPlanChild, lookedAfterChild, sharedChild, mother, withoutPlan } = children;
  const lookUps: LookUp[] = [];
  for (const number of [sharedChild[0], lookedAfterChild, endedPlanChild, mother].map((plan) => plan.nhsNumber)) {
    lookUps.push(await lookUp(epr, number));
  }
  lookUps.push(await lookUp(epr, withoutPlan));
  screen.note(`${epr.professional}, ${epr.name}: GET Flag?patient=<NHS number>`);
  showElevenItems(stage, lookUps);
  screen.note("CPP: child protection plan; LAC: looked after child; unborn: an unborn child's CPP, on the mother");
  lookUps.push(await lookUp(secondEpr, sharedChild[0].nhsNumber));

  const plans = children.records.flat().filter((plan) => plan !== children.wrongChild);
  const agrees = lookUps.every(({ nhsNumber, shown, status }) => {
    const expected = plans
      .filter((plan) => plan.nhsNumber === nhsNumber)
      .map(({ start, end = '' }) => `${start}/${end}`)
      .sort();
    const given = shown
      .flatMap((items) => [items.childProtectionPlan, items.lookedAfter, items.unbornChildProtectionPlan])
      .filter(({ start }) => start !== '')
      .map(({ start, end }) => `${start}/${end}`)
      .sort();
    return status === 200 && JSON.stringify(given) === JSON.stringify(expected);
  });
  const complete = lookUps.every(({ shown }) =>
    shown.every((items) =>
      [items.authorityName, items.emergencyDutyTeamTelephone, items.officeHoursTelephone].every((text) => text !== ''),
    ),
  );
  const times = lookUps.map(({ tookMs }) => tookMs);
  const range = `${Math.min(...times).toFixed(1)} to ${Math.max(...times).toFixed(1)} ms`;
  check('staff see the eleven data items as the authorities submitted them', agrees && complete, range);
  const empty = lookUps.filter(({ shown }) => shown.length === 0).map(({ nhsNumber }) => nhsNumber);
  check('the child without a plan shows nothing', empty.length === 1 && empty[0] === withoutPlan);
  return lookUps;
}
