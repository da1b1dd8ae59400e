import type { Bundle, Parameters } from 'fhir/r4.js';
import { buildPatient, buildRecord } from '../../../synthetic/synthetic-plan.ts';
import { waitFor } from '../../../synthetic/wait-for.ts';
import type { DemoChildren } from '../stage/demo-children.ts';
import type { DemoAuthority, DemoWorld } from '../stage/demo-world.ts';
import type { Stage } from '../stage/stage.ts';
import { lookUp } from './look-up.ts';

const arrivalLimitMs = 60_000;

/** Returns the codes of the events about details that reached an authority. */
function eventsOf({ receiver }: DemoAuthority): string[] {
  return [...receiver.arrivals.values()]
    .map(({ event }) => event.subtype?.[0]?.code ?? '')
    .filter((code) => code.startsWith('details-'));
}

/** Returns the names of the authorities that the operator is shown for a child. */
async function listedFor({ operator, authorities }: DemoWorld, nhsNumber: string): Promise<string> {
  const { body } = await operator.request<Parameters>('GET', 'Patient/$demographic-conflicts');
  const child = (body.parameter ?? []).find(({ part }) => part?.[0]?.valueString === nhsNumber);
  const ids = (child?.part ?? []).filter(({ name }) => name === 'differs').map(({ valueString }) => valueString);
  return authorities.flatMap(({ id, name }) => (ids.includes(id) ? [name] : [])).join(', ') || 'nothing';
}

/**
 * Lets two authorities hold plans on one child and state different birth dates, until one corrects it. Nothing is refused, both
 * plans are shown, and neither authority is shown what the other one states.
 */
export async function resolveConflict(
  { world, screen, check }: Stage,
  { disputedChild: [held, differing] }: DemoChildren,
): Promise<void> {
  const { authorities, careProviders, operator } = world;
  const [owner, other] = authorities;
  const { nhsNumber } = held;
  const both = [owner, other];
  const rows: string[][] = [];

  /** Waits until both authorities have all events so far, and adds a row with the new one and what people see. */
  async function show(what: string, event: string | undefined, all: readonly string[]): Promise<void> {
    await waitFor(() => both.every((each) => eventsOf(each).length === all.length), arrivalLimitMs);
    const { shown } = await lookUp(careProviders[0], nhsNumber);
    const notified = both.map((each) => (`${eventsOf(each)}` === `${all}` ? (event ?? '-') : 'another event'));
    rows.push([
      what,
      ...notified,
      await listedFor(world, nhsNumber),
      shown.length === both.length ? 'both plans' : 'not both',
    ]);
  }

  const entry = buildRecord(differing);
  const submitted = await other.client.request<Bundle>('POST', '', { resourceType: 'Bundle', type: 'batch', entry });
  await show(`${other.name} submits ${differing.birthDate}`, 'details-differ', ['details-differ']);
  const resolved = await operator.request('POST', `Patient/${nhsNumber}/$resolve-demographics`);
  await show('an operator has looked at it', undefined, ['details-differ']);
  const corrected = await other.client.request('PUT', `Patient/${nhsNumber}`, buildPatient(held));
  await show(`${other.name} corrects it`, 'details-agree', ['details-differ', 'details-agree']);

  screen.note(`${owner.name} holds a plan on ${nhsNumber} and states the birth date ${held.birthDate}`);
  screen.table(rows, ['', owner.name, other.name, 'the operator lists', 'the EPR sees']);
  const statuses = (submitted.body.entry ?? []).map(({ response }) => response?.status);
  const column = (index: number): string => rows.map((row) => row[index]).join('; ');
  check(
    'the differing birth date was accepted, and the EPR saw both plans throughout',
    `${statuses}` === '201 Created,201 Created' && rows.every((row) => row[4] === 'both plans'),
  );
  check(
    'both authorities were notified when the details differed, and when they agreed',
    corrected.status === 200 && [1, 2].every((each) => column(each) === 'details-differ; -; details-agree'),
  );
  check(
    'the operator was shown the child until somebody had looked at it',
    resolved.status === 200 && column(3) === `${owner.name}, ${other.name}; nothing; nothing`,
  );
}
