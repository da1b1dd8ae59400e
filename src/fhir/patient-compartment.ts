/** https://hl7.org/fhir/R4/compartmentdefinition-patient.html, the types of this server whose `patient` refers to it. */
const members: ReadonlySet<string> = new Set(['AuditEvent', 'Flag']);

/** Search parameters that refer to the patient, on every type of this server that has them. */
export const patientParameters: ReadonlySet<string> = new Set(['patient', 'subject']);

/** A search in the compartment of a patient: of `type`, with this criterion before all others. */
interface CompartmentSearch {
  readonly type: string;
  readonly criterion: readonly ['patient', string];
}

/** The compartment search that `Patient/[id]/[type]` stands for; undefined for another path. */
export function readCompartment(path: readonly string[]): CompartmentSearch | undefined {
  const [compartment, id, type, ...rest] = path;
  if (compartment !== 'Patient' || id === undefined || type === undefined || rest.length > 0) return undefined;
  return members.has(type) ? { type, criterion: ['patient', id] } : undefined;
}

/** The types that are searched in the compartment of a patient. */
export const compartmentTypes: Iterable<string> = members;
