import { FhirFault, type Issue } from '../../fhir/fault.ts';
import { faultStatus } from '../../fhir/response-status.ts';
import type { FhirRequest } from '../port/interaction.ts';
import { patientKeyOf } from './patient-key.ts';
import { findReferences } from './replace-references.ts';

/** Maximum issues in the answer to a failing transaction. */
const maxIssues = 100;

/** An entry that was refused, or that was not tried because it depends on one. */
export interface UndoneEntry {
  readonly fullUrl: string | undefined;
  readonly request: Pick<FhirRequest, 'type' | 'id' | 'body'>;
}

/** The refusals of the entries of one transaction, and what these entries leave undone. */
export interface Refusals {
  /** Takes the refusal of an entry. Throws what is none: the server failed, or is too busy. */
  add(error: unknown): void;
  /** Takes an entry whose resource is not there for the other entries. */
  leaveUndone(entry: UndoneEntry): void;
  /** Returns true if the request refers to a resource that was left undone. */
  isNeededBy(request: UndoneEntry['request']): boolean;
  /** Returns true if an entry that was left undone is about the same patient. */
  hasPatientOf(request: UndoneEntry['request']): boolean;
  /** Whether no more issues fit into the answer. */
  readonly isFull: boolean;
  /** Throws one fault with the issues of all refusals, if there are any: 422 unless all have the same status. */
  throwIfAny(): void;
}

/** Returns true if the request itself was refused, false if the server failed or was too busy. */
export function isRefusal(error: unknown): error is FhirFault {
  return error instanceof FhirFault && !error.isServerFailure && error.category !== 'throttled';
}

export function openRefusals(baseUrl: string): Refusals {
  const faults: FhirFault[] = [];
  let count = 0;
  const resources = new Set<string>();
  const patients = new Set<string>();
  const local = (reference: string): string =>
    reference.startsWith(`${baseUrl}/`) ? reference.slice(baseUrl.length + 1) : reference;
  return {
    add(error) {
      if (!isRefusal(error)) throw error;
      faults.push(error);
      count += error.issues.length;
    },
    leaveUndone({ fullUrl, request }) {
      const patient = patientKeyOf(request);
      if (patient !== undefined) patients.add(patient);
      if (patient !== undefined && request.type === 'Patient') resources.add(patient);
      if (request.id !== undefined) resources.add(`${request.type}/${request.id}`);
      if (fullUrl !== undefined) resources.add(fullUrl);
    },
    isNeededBy: ({ type, id, body }) =>
      resources.size > 0 &&
      (resources.has(`${type}/${id}`) || findReferences(body).some((reference) => resources.has(local(reference)))),
    hasPatientOf(request) {
      const patient = patientKeyOf(request);
      return patient !== undefined && patients.has(patient);
    },
    get isFull() {
      return count >= maxIssues;
    },
    throwIfAny() {
      const [first, ...others] = faults;
      if (first === undefined) return;
      const issues: readonly Issue[] = faults.flatMap((fault) => fault.issues).slice(0, maxIssues);
      const agree = others.every(({ category }) => faultStatus[category].code === faultStatus[first.category].code);
      throw agree ? first.withIssues(issues) : new FhirFault('unprocessable', issues, { cause: first });
    },
  };
}
