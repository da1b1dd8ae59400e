/** Finds the patients that a refused request names, and who holds them. The request has not been validated. */
import { visibleHolders } from '../../cpis/audience.ts';
import type { Caller } from '../../cpis/caller.ts';
import { londonDate } from '../../cpis/london-date.ts';
import { isNhsNumber, nhsNumberSystem } from '../../cpis/nhs-number.ts';
import { parsePlan } from '../../cpis/plan.ts';
import { itemsOf, membersOf, textOf } from '../../fhir/any-json.ts';
import { searchAll } from '../../store/search-all.ts';
import type { FhirRequest } from '../port/interaction.ts';
import type { InteractionPorts } from '../port/ports.ts';

/** Maximum patients recorded; the stored request contains the others. */
const maxPatients = 50;
/** Maximum references, identifiers and criteria of a body that are looked at, and maximum length of the URL of an entry. */
const maxTexts = 5_000;
const maxTargetLength = 500;

/** Returns the NHS numbers by which the URL, the criteria or the body name patients. Leaves out invalid numbers
 * and those over the limit. */
export function findRefusedPatients(request: Pick<FhirRequest, 'raw' | 'body'>): readonly string[] {
  const found = new Set<string>();
  const add = (text: string): void => {
    const bar = text.indexOf('|');
    if (bar > 0 && text.slice(0, bar) !== nhsNumberSystem) return;
    const number = text.slice(Math.max(text.lastIndexOf('/'), bar) + 1);
    if (found.size < maxPatients && isNhsNumber(number)) found.add(number);
  };
  for (const text of namedInTarget(request.raw.slice(request.raw.indexOf(' ') + 1))) add(text);
  for (const text of take(namedInBody(request.body), maxTexts)) {
    if (found.size === maxPatients) break;
    add(text);
  }
  return [...found];
}

/** Returns the authorities with a visible plan on the one child that NHS staff name; none if they name several. */
export async function findRefusedHolders(
  patientIds: readonly string[],
  caller: Caller | undefined,
  { store, clock, endedPlanVisibleDays }: Pick<InteractionPorts, 'store' | 'clock' | 'endedPlanVisibleDays'>,
): Promise<readonly string[]> {
  const [id, ...others] = patientIds;
  if (caller?.role !== 'care-provider' || id === undefined || others.length > 0) return [];
  const flags = await searchAll(store, {
    type: 'Flag',
    clauses: [{ kind: 'reference', param: 'patient', any: [{ kind: 'literal', type: 'Patient', id }] }],
  });
  return visibleHolders(flags.map(parsePlan), { today: londonDate(clock()), endedPlanVisibleDays });
}

function* take<T>(items: Iterable<T>, max: number): Iterable<T> {
  let count = 0;
  for (const item of items) {
    if (count++ === max) return;
    yield item;
  }
}

const patientParameter = /^(?:patient|subject)(?:[.:]|$)/;
const ownParameter = /^(?:_id|identifier)(?:[.:]|$)/;

function* namedInTarget(target: string): Iterable<string> {
  const mark = target.indexOf('?');
  const path = mark < 0 ? target : target.slice(0, mark);
  const id = /(?:^|\/)Patient\/([^/]+)/.exec(path)?.[1];
  if (id !== undefined) yield id;
  if (mark < 0) return;
  const ofPatient = /(?:^|\/)Patient(?:\/_search)?$/.test(path);
  for (const [name, value] of new URLSearchParams(target.slice(mark + 1))) {
    if (patientParameter.test(name) || (ofPatient && ownParameter.test(name))) yield* value.split(',');
  }
}

const ownTypes: ReadonlySet<unknown> = new Set(['Flag', 'Patient']);

function* namedInBody(body: unknown): Iterable<string> {
  const { resourceType: type, entry, parameter, identifier, subject } = membersOf(body);
  if (type === 'Bundle') {
    for (const each of itemsOf(entry).map(membersOf)) {
      if (membersOf(each['resource'])['resourceType'] !== 'Bundle') yield* namedInBody(each['resource']);
      yield* namedInTarget(textOf(membersOf(each['request'])['url'])?.slice(0, maxTargetLength) ?? '');
    }
  }
  if (type === 'Parameters') {
    for (const { resource } of itemsOf(parameter).map(membersOf)) {
      if (ownTypes.has(membersOf(resource)['resourceType'])) yield* namedInBody(resource);
    }
  }
  const named =
    type === 'Patient'
      ? itemsOf(identifier).map((each) => membersOf(each)['value'])
      : type === 'Flag'
        ? [membersOf(subject)['reference']]
        : [];
  for (const text of named) if (typeof text === 'string') yield text;
}
