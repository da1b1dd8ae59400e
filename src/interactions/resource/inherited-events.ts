/** AuditEvents about plans that were transferred. They name the authority that held the plan, and never change (I7). */
import type { AuditEvent } from 'fhir/r4.js';
import { formersOf, ownerLabel, viewerLabel } from '../../cpis/labels.ts';
import { londonDate } from '../../cpis/london-date.ts';
import { numbersOfChild } from '../../cpis/shared-event.ts';
import { endedPredecessorsOf } from '../../cpis/succession.ts';
import type { StoredResource } from '../../store/store.ts';
import type { InteractionPorts } from '../port/ports.ts';
import { searchFlagsOf } from './view.ts';

type Ports = Pick<InteractionPorts, 'store' | 'registry' | 'clock'>;

/** Any other authority has inherited nothing, and its requests must read nothing more because of this rule. */
function hasPredecessors(authority: string, { registry, clock }: Ports): boolean {
  return endedPredecessorsOf(authority, registry().authorities, londonDate(clock())).length > 0;
}

/** Returns the authorities whose plans on a child, under any of these numbers, were transferred to this one. */
export async function predecessorsOn(
  numbers: readonly string[],
  authority: string,
  ports: Ports,
): Promise<readonly string[]> {
  if (!hasPredecessors(authority, ports)) return [];
  const flags = await searchFlagsOf(ports.store, numbers, [{ kind: 'label', any: [ownerLabel(authority)] }]);
  return [...new Set(flags.flatMap(({ labels }) => formersOf(labels)))].filter((id) => id !== authority);
}

/** Returns true if the AuditEvent is about one child, whose plan passed to this authority from one that may see it. */
export async function inheritsEvent(
  { labels, body }: Pick<StoredResource, 'labels' | 'body'>,
  authority: string,
  ports: Ports,
): Promise<boolean> {
  if (!hasPredecessors(authority, ports)) return false;
  const numbers = numbersOfChild(JSON.parse(body) as AuditEvent);
  if (numbers.length === 0) return false;
  const predecessors = await predecessorsOn(numbers, authority, ports);
  return predecessors.some((id) => labels.includes(viewerLabel(id)));
}
