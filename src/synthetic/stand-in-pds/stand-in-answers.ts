/** The bodies of PDS's FHIR API, after its published specification. */
import { nhsNumberSystem } from '../../cpis/nhs-number.ts';
import type { StandInPerson } from './stand-in-people.ts';

const displays = {
  ACCESS_DENIED: 'Access Denied - Unauthorised',
  INVALIDATED_RESOURCE:
    'Resource that has been marked as invalid was requested - invalid resources cannot be retrieved',
  INVALID_RESOURCE_ID: 'Resource Id is invalid',
  INVALID_VALUE: 'Provided value is invalid',
  MISSING_VALUE: 'Required value is missing',
  RESOURCE_NOT_FOUND: 'Resource not found',
  TOO_MANY_REQUESTS: 'Too many requests',
  UNABLE_TO_CALL_SERVICE: 'Unable to call service',
  UNSUPPORTED_SERVICE: 'Unsupported Service',
} as const;

export interface StandInAnswer {
  readonly status: number;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body: unknown;
}

/** Builds an OperationOutcome as PDS answers it. */
export function renderError(
  status: number,
  issueCode: string,
  code: keyof typeof displays,
  diagnostics?: string,
  severity = 'error',
): StandInAnswer {
  const coding = {
    system: 'https://fhir.nhs.uk/R4/CodeSystem/Spine-ErrorOrWarningCode',
    version: '1',
    code,
    display: displays[code],
  };
  const issue = { severity, code: issueCode, details: { coding: [coding] }, ...(diagnostics ? { diagnostics } : {}) };
  return { status, body: { resourceType: 'OperationOutcome', issue: [issue] } };
}

/** Builds the answer to a request that fails on purpose. */
export function renderFault(status: number): StandInAnswer {
  if (status === 408) return renderError(408, 'timeout', 'UNABLE_TO_CALL_SERVICE');
  if (status === 429) {
    return { ...renderError(429, 'throttled', 'TOO_MANY_REQUESTS'), headers: { 'retry-after': '1' } };
  }
  // The gateway itself answers without FHIR.
  return { status, headers: { 'content-type': 'text/html' }, body: undefined };
}

/** Builds the Patient of a record. A restricted one differs only in what this record never has. */
export function renderPerson(person: StandInPerson): StandInAnswer {
  const { number, family, given = [], birthDate, deceased, confidentiality = 'U' } = person;
  const verified = {
    url: 'https://fhir.hl7.org.uk/StructureDefinition/Extension-UKCore-NHSNumberVerificationStatus',
    valueCodeableConcept: {
      coding: [
        {
          system: 'https://fhir.hl7.org.uk/CodeSystem/UKCore-NHSNumberVerificationStatus',
          version: '1.0.0',
          code: '01',
          display: 'Number present and verified',
        },
      ],
    },
  };
  const body = {
    resourceType: 'Patient',
    id: number,
    identifier: [{ system: nhsNumberSystem, value: number, extension: [verified] }],
    meta: {
      versionId: '2',
      security: [
        {
          system: 'http://terminology.hl7.org/CodeSystem/v3-Confidentiality',
          code: confidentiality,
          display: { U: 'unrestricted', R: 'restricted', V: 'very restricted' }[confidentiality],
        },
      ],
    },
    ...(family === undefined ? {} : { name: [{ id: '1', use: 'usual', family, given }] }),
    ...(birthDate === undefined ? {} : { birthDate }),
    ...(deceased === undefined ? {} : { deceasedDateTime: deceased }),
  };
  return { status: 200, headers: { etag: 'W/"2"' }, body };
}
