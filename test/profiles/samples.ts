import { join } from 'node:path';
import { loadDefinitions } from '../../src/fhir/definitions/load-definitions.ts';
import { loadProfiles } from '../../src/fhir/definitions/load-profiles.ts';
import type { Issue } from '../../src/fhir/fault.ts';
import { buildValidator } from '../../src/fhir/validation/validator.ts';

export const profileFolder = join(import.meta.dirname, '../../profiles');
export const cpisRoot = 'https://cpis-fhir.example.org/fhir';

const definitions = loadDefinitions();
const validator = buildValidator({ definitions, profiles: loadProfiles(profileFolder, definitions) });

/** Validates by the profile `cpis-<name>`. */
export function validateBy(name: string, resource: unknown): Issue[] {
  return validator.validate(resource, `${cpisRoot}/StructureDefinition/cpis-${name}`);
}

/** Validates by the R4 definition of the type. */
export function validateBase(type: string, resource: unknown): Issue[] {
  return validator.validate(resource, type);
}

/** Returns `expression code` of each issue. */
export function outline(issues: readonly Issue[]): string[] {
  return issues.map(({ code, expression }) => `${expression?.join()} ${code}`);
}

export type Json = Record<string, unknown>;

export const sampleFlag = {
  resourceType: 'Flag',
  id: '0192f5d2-7a3c-7bb1-9a5e-0f1d2c3b4a59',
  meta: {
    versionId: '2',
    lastUpdated: '2026-01-02T03:04:05.678Z',
    source: 'urn:uuid:0192f5d2-7a3c-7bb1-9a5e-0f1d2c3b4a59',
    profile: [`${cpisRoot}/StructureDefinition/cpis-flag`],
  },
  identifier: [{ use: 'official', system: 'https://la.example.org/plan', value: 'CP-2025/0042' }],
  status: 'inactive',
  category: [
    { coding: [{ system: 'http://terminology.hl7.org/CodeSystem/flag-category', code: 'safety', display: 'Safety' }] },
  ],
  code: {
    coding: [
      { system: 'http://snomed.info/sct', code: '342191000000101', display: 'Subject to child protection plan' },
    ],
  },
  subject: { reference: 'Patient/9990000018', type: 'Patient' },
  period: { start: '2025-01-31', end: '2025-02-28' },
  author: {
    reference: 'Organization/E08000035',
    type: 'Organization',
    identifier: { system: `${cpisRoot}/Id/gss-code`, value: 'E08000035' },
  },
};

export const samplePatient = {
  resourceType: 'Patient',
  id: '9990000018',
  identifier: [{ system: 'https://fhir.nhs.uk/Id/nhs-number', value: '9990000018' }],
  name: [{ use: 'official', family: 'Testchild', given: ['Ada', 'Bea'] }, { text: 'Ada T' }],
  gender: 'female',
  birthDate: '2015-06-30',
};

export const sampleSubscription = {
  resourceType: 'Subscription',
  status: 'requested',
  reason: 'Access to the records of children with a plan',
  criteria: 'AuditEvent?agent=Organization/E08000035',
  channel: {
    type: 'rest-hook',
    endpoint: 'https://la.example.org/fhir',
    payload: 'application/fhir+json',
    header: ['X-Api-Key: abc123'],
  },
};

const dicom = 'http://dicom.nema.org/resources/ontology/DCM';
const entityTypes = 'http://terminology.hl7.org/CodeSystem/audit-entity-type';

export const sampleAuditEvent = {
  resourceType: 'AuditEvent',
  id: '0192f5d2-7a3c-7bb1-9a5e-0f1d2c3b4a60',
  meta: { versionId: '1', lastUpdated: '2026-01-02T03:04:05.678Z' },
  type: { system: 'http://terminology.hl7.org/CodeSystem/audit-event-type', code: 'rest' },
  subtype: [{ system: 'http://hl7.org/fhir/restful-interaction', code: 'search-type' }],
  action: 'E',
  recorded: '2026-01-02T03:04:05.678Z',
  outcome: '0',
  agent: [
    {
      type: { coding: [{ system: dicom, code: '110153' }] },
      who: { identifier: { value: 'epr-1' } },
      requestor: false,
      network: { address: '192.0.2.1', type: '2' },
    },
    { type: { coding: [{ system: dicom, code: '110152' }] }, who: { display: 'cpis-fhir' }, requestor: false },
    {
      type: {
        coding: [{ system: 'http://terminology.hl7.org/CodeSystem/provenance-participant-type', code: 'custodian' }],
      },
      who: { reference: 'Organization/E08000035' },
      requestor: false,
    },
  ],
  source: { observer: { display: 'cpis-fhir' } },
  entity: [
    {
      type: { system: entityTypes, code: '2' },
      role: { system: 'http://terminology.hl7.org/CodeSystem/object-role', code: '24' },
      query: 'R0VUIEZsYWc/cGF0aWVudD05OTkwMDAwMDE4',
    },
    { what: { reference: 'Patient/9990000018' }, type: { system: entityTypes, code: '1' } },
    {
      what: { identifier: { value: '0192f5d2-7a3c-7bb1-9a5e-0f1d2c3b4a61' } },
      type: { system: 'https://profiles.ihe.net/ITI/BALP/CodeSystem/BasicAuditEntityType', code: 'XrequestId' },
    },
  ],
};

export const sampleBundle = {
  resourceType: 'Bundle',
  type: 'transaction',
  entry: [
    {
      fullUrl: 'urn:uuid:0192f5d2-7a3c-7bb1-9a5e-0f1d2c3b4a62',
      resource: samplePatient,
      request: { method: 'PUT', url: 'Patient/9990000018', ifMatch: 'W/"1"' },
    },
    { resource: sampleFlag, request: { method: 'POST', url: 'Flag', ifNoneExist: 'identifier=a|b' } },
    { request: { method: 'GET', url: 'Flag?patient=9990000018' } },
  ],
};

/** Returns a deep copy with the member at `path` set, or removed if `value` is undefined. */
export function changed(resource: Json, path: string, value: unknown): Json {
  const copy = structuredClone(resource);
  const names = path.split('.');
  const last = names.pop() ?? '';
  let parent: Json = copy;
  for (const name of names) parent = parent[name] as Json;
  if (value === undefined) delete parent[last];
  else parent[last] = value;
  return copy;
}
