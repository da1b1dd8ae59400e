import type { Credential } from '../cpis/caller.ts';
import { clientOf, ownerOf } from '../cpis/labels.ts';
import type { Client, Registry } from '../registry/registry.ts';
import { checkCredential } from './derive-caller.ts';
import { intersectScopes } from './smart-scope.ts';

/** What the registry says now about the client that wrote a Subscription. The Subscription's labels name the client. */
export interface SubscriberClients {
  /** Returns the registered origins of its endpoints; none if it may not be notified. */
  origins(labels: readonly string[]): readonly string[];
  /** Returns the method with which AuditEvents are sent to it. */
  method(labels: readonly string[]): Client['notificationMethod'];
  /** Returns the HMAC secrets that its notifications are signed with. */
  secrets(labels: readonly string[]): readonly Uint8Array[];
  /** Reports whether it still belongs to the authority that owns the Subscription and may read AuditEvents. */
  mayNotify(labels: readonly string[]): boolean;
  /** Reports the same for the client of a WebSocket, and whether the token that it was bound with would still be valid. */
  mayConnect(authorityId: string, clientId: string, credential: Credential): boolean;
}

/** Builds the rules on the registry in force; a reload holds from the next call. */
export function buildSubscriberClients(registry: () => Registry): SubscriberClients {
  function find(authorityId: string | undefined, clientId: string | undefined): Client | undefined {
    const client = registry().clients.get(clientId ?? '');
    if (client?.role !== 'authority' || client.organisation.id !== authorityId) return undefined;
    const granted = intersectScopes(['system/AuditEvent.rs'], client.scopes).get('AuditEvent');
    return granted === undefined || granted.size === 0 ? undefined : client;
  }
  const byLabels = (labels: readonly string[]): Client | undefined => find(ownerOf(labels), clientOf(labels));
  return {
    origins: (labels) => byLabels(labels)?.subscriptionOrigins ?? [],
    method: (labels) => byLabels(labels)?.notificationMethod ?? 'PUT',
    secrets: (labels) => byLabels(labels)?.webhookSecrets ?? [],
    mayNotify: (labels) => byLabels(labels) !== undefined,
    mayConnect: (authorityId, clientId, credential) => {
      const client = find(authorityId, clientId);
      return client !== undefined && checkCredential(credential, client) === undefined;
    },
  };
}
