/** Which patients a refused request was about. It has not been validated: anything may stand anywhere. */
import { isNhsNumber, nhsNumberSystem } from '../../cpis/nhs-number.ts';
import type { FhirRequest } from '../port/interaction.ts';

/** So many are named; the request itself names the rest. */
const maxPatients = 50;

/** NHS numbers that the URL, the criteria or the body name as the patient; texts that are none are left out. */
export function findRefusedPatients(request: Pick<FhirRequest, 'raw' | 'body'>): readonly string[] {
  const found = new Set<string>();
  const add = (text: string): void => {
    const bar = text.indexOf('|');
    if (bar > 0 && text.slice(0, bar) !== nhsNumberSystem) return;
    const number = text.slice(Math.max(text.lastIndexOf('/'), bar) + 1);
    if (found.size < maxPatients && isNhsNumber(number)) found.add(number);
  };
  for (const text of namedInTarget(request.raw.slice(request.raw.indexOf(' ') + 1))) add(text);
  for (const text of namedInBody(request.body)) add(text);
  return [...found];
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
  const type = member(body, 'resourceType');
  if (type === 'Bundle') {
    for (const entry of listOf(member(body, 'entry'))) {
      const resource = member(entry, 'resource');
      if (member(resource, 'resourceType') !== 'Bundle') yield* namedInBody(resource);
      const url = member(member(entry, 'request'), 'url');
      if (typeof url === 'string') yield* namedInTarget(url);
    }
  }
  if (type === 'Parameters') {
    for (const parameter of listOf(member(body, 'parameter'))) {
      const resource = member(parameter, 'resource');
      if (ownTypes.has(member(resource, 'resourceType'))) yield* namedInBody(resource);
    }
  }
  const named =
    type === 'Patient'
      ? listOf(member(body, 'identifier')).map((identifier) => member(identifier, 'value'))
      : type === 'Flag'
        ? [member(member(body, 'subject'), 'reference')]
        : [];
  for (const text of named) if (typeof text === 'string') yield text;
}

function member(value: unknown, name: string): unknown {
  return typeof value === 'object' && value !== null && Object.hasOwn(value, name)
    ? (value as Readonly<Record<string, unknown>>)[name]
    : undefined;
}

function listOf(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [];
}
