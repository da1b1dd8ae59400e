/** AuditEvents about plans that were transferred. They name the authority that held the plan, and never change (I7). */
import type { AuditEvent } from 'fhir/r4.js';
import { formersOf, ownerLabel, viewerLabel } from '../../cpis/labels.ts';
import { patientsOfEvent } from '../../cpis/shared-event.ts';
import type { Store, StoredResource } from '../../store/store.ts';
import { searchFlagsOf } from './view.ts';

/** Returns the authorities whose plans on the patient were transferred to this one. */
export async function predecessorsOn(patientId: string, authority: string, store: Pick<Store, 'search'>) {
  const flags = await searchFlagsOf(store, patientId, [{ kind: 'label', any: [ownerLabel(authority)] }]);
  return [...new Set(flags.flatMap(({ labels }) => formersOf(labels)))].filter((id) => id !== authority);
}

/** Returns true if the AuditEvent is about one patient, whose plan passed to this authority from one that may see it. */
export async function inheritsEvent(
  { labels, body }: Pick<StoredResource, 'labels' | 'body'>,
  authority: string,
  store: Pick<Store, 'search'>,
): Promise<boolean> {
  const [patientId, ...others] = patientsOfEvent(JSON.parse(body) as AuditEvent);
  if (patientId === undefined || others.length > 0) return false;
  const predecessors = await predecessorsOn(patientId, authority, store);
  return predecessors.some((id) => labels.includes(viewerLabel(id)));
}
