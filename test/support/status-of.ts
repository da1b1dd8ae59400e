import type { FhirFault } from '../../src/fhir/fault.ts';
import { faultStatus } from '../../src/fhir/response-status.ts';

/** Returns the response status of a fault; undefined if there is none. */
export function statusOf(refusal: FhirFault | undefined): number | undefined {
  return refusal === undefined ? undefined : faultStatus[refusal.category].code;
}
