import { bearsLabelFor } from '../../cpis/access-policy.ts';
import type { Caller } from '../../cpis/caller.ts';
import { invalidNhsNumber, isNhsNumber } from '../../cpis/nhs-number.ts';
import { type FhirFault, fault } from '../../fhir/fault.ts';
import type { ReadResult, StoredResource } from '../../store/store.ts';

/** The one answer for what is not there and for what the caller may not see. */
export function notFound(): FhirFault {
  return fault('not-found', 'There is no such resource, or this client may not see it.');
}

/** Refuses an id that no resource of the type can have, before anything is looked up. */
export function checkId(type: string, id: string): void {
  if (type === 'Patient' && !isNhsNumber(id)) throw invalidNhsNumber('Patient.id');
}

/**
 * The one answer to an update of what is not there, or may not be seen: 405, as the ids are this server's.
 * https://hl7.org/fhir/R4/http.html#upsert
 */
export function notCreatedByUpdate(): FhirFault {
  return fault(
    'method',
    'There is no such resource, and the server chooses the ids of new ones. Create it with POST or a conditional ' +
      'update, without an id.',
  );
}

/** The current version of what this authority may see; 410 for its own that was deleted, else `absent`, by default 404. */
export function visibleToAuthority(
  result: ReadResult,
  type: string,
  caller: Caller,
  absent: () => FhirFault = notFound,
): StoredResource {
  if (result.kind === 'found' && bearsLabelFor(caller, type, result.resource.labels)) return result.resource;
  if (result.kind === 'deleted' && bearsLabelFor(caller, type, result.labels)) {
    throw fault('gone', 'The resource was deleted. Its earlier versions can be read from its history.');
  }
  throw absent();
}
