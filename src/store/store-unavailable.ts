import { type FhirFault, fault } from '../fhir/fault.ts';

/** Returns the fault for a store that cannot serve at present. `detail` is for the log: a short kind. */
export function storeUnavailable(detail: string): FhirFault {
  return fault('transient', 'The store cannot serve this request at present. Nothing was disclosed: try again.', {
    retryAfterS: 1,
    detail,
  });
}
