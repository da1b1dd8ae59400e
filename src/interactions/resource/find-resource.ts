import { bearsLabelFor } from '../../cpis/access-policy.ts';
import type { Caller } from '../../cpis/caller.ts';
import { invalidNhsNumber, isNhsNumber } from '../../cpis/nhs-number.ts';
import { type FhirFault, fault } from '../../fhir/fault.ts';
import type { ReadResult, StoredResource } from '../../store/store.ts';

/** Returns the same fault for a resource that does not exist and for one that the caller may not see. */
export function notFound(): FhirFault {
  return fault('not-found', 'There is no such resource, or this client may not see it.');
}

/** Throws for an id that no resource of the type can have, before any read. */
export function checkId(type: string, id: string): void {
  if (type === 'Patient' && !isNhsNumber(id)) throw invalidNhsNumber('Patient.id');
}

/**
 * Returns the same fault for an update of a resource that does not exist and of one that the caller may not see. It is
 * 405, because the server chooses the ids. https://hl7.org/fhir/R4/http.html#upsert
 */
export function notCreatedByUpdate(): FhirFault {
  return fault(
    'method',
    'There is no such resource, and the server chooses the ids of new ones. Create it with POST or a conditional ' +
      'update, without an id.',
  );
}

/**
 * Returns the current version of a resource that this authority may see. Throws `gone` if it was deleted, else the
 * fault of `absent`.
 */
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
