import { itemsOf, membersOf, textOf } from '../../fhir/any-json.ts';
import type { FhirRequest } from '../port/interaction.ts';

const patientReference = /(?:^|\/)(Patient\/[^/]+)$/;

/** Returns `Patient/N` for a write of a Patient or of a resource about one; undefined if it does not name the patient. */
export function patientKeyOf({ type, id, body }: Pick<FhirRequest, 'type' | 'id' | 'body'>): string | undefined {
  const { subject, identifier } = membersOf(body);
  const numberOf = (): string => textOf(membersOf(itemsOf(identifier)[0])['value']) ?? '';
  const reference = type === 'Patient' ? `Patient/${id ?? numberOf()}` : membersOf(subject)['reference'];
  return patientReference.exec(textOf(reference) ?? '')?.[1];
}
