/** The served types of the patient compartment. https://hl7.org/fhir/R4/compartmentdefinition-patient.html */
const members: ReadonlySet<string> = new Set(['AuditEvent', 'Flag']);

/** Search parameters that refer to the patient, on the served types that have them. */
export const patientParameters: ReadonlySet<string> = new Set(['patient', 'subject']);

/** A search of `type` in the compartment of a patient. The criterion precedes all others. */
interface CompartmentSearch {
  readonly type: string;
  readonly criterion: readonly ['patient', string];
}

/** Returns the compartment search of the path `Patient/[id]/[type]`; undefined for another path. */
export function readCompartment(path: readonly string[]): CompartmentSearch | undefined {
  const [compartment, id, type, ...rest] = path;
  if (compartment !== 'Patient' || id === undefined || type === undefined || rest.length > 0) return undefined;
  return members.has(type) ? { type, criterion: ['patient', id] } : undefined;
}

/** The types that can be searched in the compartment of a patient. */
export const compartmentTypes: Iterable<string> = members;
