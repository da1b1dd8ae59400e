import type { BundleEntry, OperationOutcome } from 'fhir/r4.js';
import { movedCoding } from '../../cpis/move-plan.ts';
import { nameColumns } from './name-columns.ts';

/** NHS England's responses to the records of an upload (CP-IS Domain Message Specification, vocabulary ...17.473). */
export const recordResponses = {
  CPR01: 'no match for the NHS number',
  CPR02: 'the NHS number belongs to a sensitive record',
  CPR03: 'NHS number not verified: the details do not match',
  CPR04: 'old-style NHS number',
  CPR05: 'NHS number superseded: use the new one',
  CPR06: 'loaded',
  CPR07: 'not loaded',
} as const;

export type RecordResponse = keyof typeof recordResponses;

/** The result of one record. */
export interface RecordResult {
  /** Counted from 1, without the header. */
  readonly record: number;
  readonly reference: string;
  readonly response: RecordResponse;
  /** Not from NHS England: the outcome in this command's own words. `refused` means by the server. */
  readonly action: 'created' | 'up to date' | 'moved' | 'refused' | 'not sent';
  /** The reason, or the warnings of the server. */
  readonly explanation: string;
  /** `Flag.id` and its version; empty if the plan was not stored. */
  readonly flag: string;
  readonly version: string;
}

/** The server's response to a record; `again` if the record must be sent again. */
type Reading = Omit<RecordResult, 'record' | 'reference'> | 'again';

const statusOf = (entry: BundleEntry | undefined): number => Number((entry?.response?.status ?? '').slice(0, 3));
const isLoaded = (entry: BundleEntry | undefined): boolean => statusOf(entry) === 200 || statusOf(entry) === 201;
const issuesOf = (entry: BundleEntry | undefined) =>
  (entry?.response?.outcome as OperationOutcome | undefined)?.issue ?? [];

const isMoved = (flag: BundleEntry | undefined): boolean =>
  issuesOf(flag).some(({ details }) =>
    details?.coding?.some(({ system, code }) => system === movedCoding.system && code === movedCoding.code),
  );

function hasSpineCode(entry: BundleEntry | undefined, code: string): boolean {
  return issuesOf(entry).some(({ details }) => details?.coding?.some((coding) => coding.code === code) === true);
}

function explain(patient: BundleEntry | undefined, flag: BundleEntry | undefined): string {
  const newNumbers = issuesOf(patient)
    .flatMap(({ extension = [] }) => extension)
    .filter(({ url }) => url === newNumberExtension)
    .map(({ valueIdentifier }) => `The new number is ${valueIdentifier?.value}.`);
  const texts = [
    ...issuesOf(patient).map((issue) => nameColumns(issue, 'Patient')),
    ...newNumbers,
    ...issuesOf(flag).map((issue) => nameColumns(issue, 'Flag')),
  ];
  return [...new Set(texts.filter(Boolean))].join(' ');
}

const newNumberExtension = 'https://cpis-fhir.example.org/fhir/StructureDefinition/cpis-new-nhs-number';
const responseSystem = 'https://cpis-fhir.example.org/fhir/CodeSystem/cpis-record-response';

/** Returns the record response that the server gives itself; undefined if it gives none. */
function givenResponse(entry: BundleEntry | undefined): string | undefined {
  const codings = issuesOf(entry).flatMap(({ details }) => details?.coding ?? []);
  return codings.find(({ system }) => system === responseSystem)?.code;
}

/** Returns true if the server could not check a record against the demographics service. */
export function lacksDemographics(entries: readonly (BundleEntry | undefined)[]): boolean {
  return entries.some((entry) => givenResponse(entry) === 'CPF05');
}

const isRecordResponse = (code: string): code is RecordResponse => Object.hasOwn(recordResponses, code);

function codeOf(patient: BundleEntry | undefined): RecordResponse {
  const given = givenResponse(patient) ?? '';
  if (isRecordResponse(given)) return given;
  if (hasSpineCode(patient, 'INVALID_NHS_NUMBER')) return 'CPR01';
  if (statusOf(patient) === 409) return 'CPR03';
  if (hasSpineCode(patient, 'INVALIDATED_RESOURCE')) return 'CPR05';
  return 'CPR07';
}

/** Reads the two response entries of a record, its Patient and its Flag. */
export function readRecordResponse(patient: BundleEntry | undefined, flag: BundleEntry | undefined): Reading {
  const isTransient = [patient, flag].some((entry) => {
    const status = statusOf(entry);
    return Number.isNaN(status) || status === 0 || status === 408 || status === 429 || status >= 500;
  });
  if (isTransient) return 'again';
  const explanation = explain(patient, flag);
  const [, id = '', version = ''] = /Flag\/([^/]+)\/_history\/([^/]+)$/.exec(flag?.response?.location ?? '') ?? [];
  if (!isLoaded(flag)) return { response: codeOf(patient), action: 'refused', explanation, flag: '', version: '' };
  if (!isLoaded(patient)) {
    // Of a refused Patient the server takes only the end or the withdrawal of a recorded plan.
    const ended = `The plan was ended or withdrawn all the same. ${explanation}`;
    return { response: codeOf(patient), action: 'refused', explanation: ended, flag: id, version };
  }
  return {
    response: 'CPR06',
    action: statusOf(flag) === 201 ? 'created' : isMoved(flag) ? 'moved' : 'up to date',
    explanation,
    flag: id,
    version,
  };
}

/** Returns NHS England's response to the whole file. */
export function fileResponse(loaded: number, all: number): string {
  if (loaded === all) return 'CPF02: all records are loaded';
  return loaded === 0 ? 'CPF04: no record is loaded' : 'CPF03: only the valid records are loaded';
}
