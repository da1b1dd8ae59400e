import { type FhirFault, fault } from '../fhir/fault.ts';

/** The fault that says that the store cannot serve now. `detail` is for the log: a short kind. */
export function storeUnavailable(detail: string): FhirFault {
  return fault('transient', 'The store cannot serve this request at the moment.', {
    headers: { 'Retry-After': '1' },
    detail,
  });
}
