import type { ClaimedDelivery } from '../../store/store.ts';
import type { Notification } from '../outbound-http/sender.ts';
import type { Channel } from '../subscriptions/subscription.ts';

/**
 * Builds the request that notifies a subscriber of one AuditEvent. With a payload type the AuditEvent is sent as an
 * update (`PUT {endpoint}/AuditEvent/{id}`, the same for every attempt) or by POST to the endpoint; without one, the
 * POST is empty. https://hl7.org/fhir/R4/subscription.html#2.46.7.1
 */
export function buildMessage(
  channel: Channel,
  method: 'PUT' | 'POST',
  delivery: Pick<ClaimedDelivery, 'auditId' | 'body'>,
  secrets: readonly Uint8Array[],
  recipient: string,
): Notification {
  const headers = channel.headers.flat();
  const signing = { id: delivery.auditId, secrets, recipient };
  if (channel.payload === undefined) return { method: 'POST', url: channel.endpoint, headers, body: '', signing };
  const url = method === 'PUT' ? updateUrl(channel.endpoint, delivery.auditId) : channel.endpoint;
  return { method, url, headers: [...headers, 'content-type', channel.payload], body: delivery.body, signing };
}

function updateUrl(endpoint: string, auditId: string): string {
  const url = new URL(endpoint);
  url.pathname = `${url.pathname.replace(/\/+$/, '')}/AuditEvent/${encodeURIComponent(auditId)}`;
  return url.href;
}
