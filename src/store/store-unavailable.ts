import { type FhirFault, fault } from '../fhir/fault.ts';

/** Returns the fault for a store that cannot serve at present. `detail` is for the log: a short kind. */
export function storeUnavailable(detail: string): FhirFault {
  return fault('transient', 'The store cannot serve this request at present. Nothing was disclosed: try again.', {
    retryAfterS: 1,
    detail,
  });
}

/** Returns the fault for a write whose outcome the store does not know. `detail` is for the log: a short kind. */
export function writeOutcomeUnknown(detail: string): FhirFault {
  const text = 'A write may or may not have been stored. Wait for Retry-After, then repeat the same request.';
  return fault('transient', text, { retryAfterS: 1, detail });
}
