/** Reads answers of the PDS FHIR API. Whatever is not as documented is a failure of the service, never "not found". */
import { isNhsNumber } from '../../cpis/nhs-number.ts';
import { itemsOf, membersOf, textOf } from '../../fhir/any-json.ts';
import { parseInterval } from '../../fhir/search/date.ts';
import type { Person, PersonName, Trace } from '../demographics.ts';

/** `reason` is a short class, never a value from the answer. */
export interface PdsFailure {
  readonly kind: 'failed';
  readonly reason: string;
  /** Whether the same request may succeed soon. */
  readonly mayPass: boolean;
  /** Whether the service is well, and only this record cannot be read. */
  readonly isOfRecord?: boolean;
}

const confidentiality = 'http://terminology.hl7.org/CodeSystem/v3-Confidentiality';
const dateForm = /^\d{4}(-\d{2}(-\d{2})?)?$/;
const isDate = (text: string): boolean => dateForm.test(text) && parseInterval(text) !== undefined;
/** Spine too slow, too many requests, and the gateway's own. */
const passingStatuses = new Set([408, 425, 429, 500, 502, 503, 504]);

const failed = (reason: string, mayPass: boolean): PdsFailure => ({ kind: 'failed', reason, mayPass });

/** Reads an answer to `GET /Patient/{number}`. `body` is the parsed JSON; undefined if it is none. */
export function readAnswer(
  number: string,
  status: number,
  body: unknown,
): Exclude<Trace, { kind: 'unavailable' }> | PdsFailure {
  if (status === 200) {
    const person = readPerson(body);
    if (person === undefined) {
      return { ...failed('unreadable', false), isOfRecord: membersOf(body)['resourceType'] === 'Patient' };
    }
    return { kind: person.number === number ? 'found' : 'superseded', person };
  }
  const code = status === 404 || status === 400 ? spineCodeOf(body) : undefined;
  if (status === 404 && code === 'INVALIDATED_RESOURCE') return { kind: 'invalidated' };
  // PDS calls a number outside its ranges an invalid id, although its check digit is right.
  if ((status === 404 && code === 'RESOURCE_NOT_FOUND') || (status === 400 && code === 'INVALID_RESOURCE_ID')) {
    return { kind: 'not-found' };
  }
  return failed(`status-${status}`, passingStatuses.has(status));
}

/** Returns the code of NHS England's error list in an OperationOutcome. */
function spineCodeOf(body: unknown): string | undefined {
  if (membersOf(body)['resourceType'] !== 'OperationOutcome') return undefined;
  const [issue] = itemsOf(membersOf(body)['issue']);
  const [coding] = itemsOf(membersOf(membersOf(issue)['details'])['coding']);
  return textOf(membersOf(coding)['code']);
}

/** Returns the person of a PDS Patient; undefined if it is not one. */
function readPerson(body: unknown): Person | undefined {
  const { resourceType, id, meta, name, birthDate, deceasedDateTime, deceasedBoolean } = membersOf(body);
  if (resourceType !== 'Patient' || typeof id !== 'string' || !isNhsNumber(id)) return undefined;
  if (birthDate !== undefined && !isDate(textOf(birthDate) ?? '')) return undefined;
  return {
    number: id,
    names: itemsOf(name).flatMap(readName),
    birthDate: textOf(birthDate),
    isDead: deceasedDateTime !== undefined || deceasedBoolean === true,
    isSensitive: !isUnrestricted(meta),
  };
}

function readName(value: unknown): readonly PersonName[] {
  const { family, given } = membersOf(value);
  const parts = itemsOf(given).filter((part) => typeof part === 'string');
  return typeof family === 'string' ? [{ family, given: parts }] : [];
}

/** A record counts as sensitive unless PDS says that it is not. */
function isUnrestricted(meta: unknown): boolean {
  const codes = itemsOf(membersOf(meta)['security'])
    .map(membersOf)
    .filter(({ system }) => system === confidentiality)
    .map(({ code }) => code);
  return codes.length > 0 && codes.every((code) => code === 'U');
}
