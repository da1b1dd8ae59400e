import { viewerLabel } from '../../cpis/labels.ts';
import type { NumberedEvent } from '../../fhir/subscription/notification-bundle.ts';
import type { Store, StoredResource, SubscriptionEvent } from '../../store/store.ts';

/** Reads events as their authority may see them. */
export interface EventReader {
  /** Returns the events that the authority may see, in the same order. Rejects if the store fails. */
  read(authority: string, events: readonly SubscriptionEvent[]): Promise<readonly NumberedEvent[]>;
}

/** Whether an authority may see an AuditEvent that names another one, because the plan was transferred to it. */
export type InheritsEvent = (event: StoredResource, authority: string) => Promise<boolean>;

/** `renderEvent` returns the JSON text of an AuditEvent as the authority may see it. */
export function buildEventReader(
  store: Pick<Store, 'read'>,
  renderEvent: (body: string, authority: string) => string,
  inheritsEvent: InheritsEvent,
): EventReader {
  async function readOne(authority: string, { number, auditId }: SubscriptionEvent): Promise<NumberedEvent[]> {
    const found = await store.read('AuditEvent', auditId);
    if (found.kind !== 'found') return [];
    const { lastUpdatedMs, body, labels } = found.resource;
    if (!labels.includes(viewerLabel(authority)) && !(await inheritsEvent(found.resource, authority))) return [];
    return [
      { number, type: 'AuditEvent', id: auditId, timestampMs: lastUpdatedMs, body: renderEvent(body, authority) },
    ];
  }
  return {
    read: async (authority, events) => (await Promise.all(events.map((event) => readOne(authority, event)))).flat(),
  };
}
