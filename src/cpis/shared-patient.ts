import type { Patient } from 'fhir/r4.js';
import { subsetted } from './audit-codes.ts';
import { nhsNumberSystem } from './nhs-number.ts';

/**
 * Returns a Patient as NHS staff see it: the NHS number and nothing else, because the data items of CP-IS hold no name and no
 * birth date. It is tagged SUBSETTED. https://hl7.org/fhir/R4/valueset-security-labels.html
 */
export function sharePatient({ resourceType, id, meta, identifier = [] }: Patient): Patient {
  return {
    resourceType,
    ...(id === undefined ? {} : { id }),
    meta: {
      ...(meta?.versionId === undefined ? {} : { versionId: meta.versionId }),
      ...(meta?.lastUpdated === undefined ? {} : { lastUpdated: meta.lastUpdated }),
      tag: [subsetted],
    },
    identifier: identifier
      .filter(({ system }) => system === nhsNumberSystem)
      .map(({ system = '', value = '' }) => ({ system, value })),
  };
}
