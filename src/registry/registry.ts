/** The registry: organisations and clients, operator-owned configuration. A snapshot is immutable; a reload makes a new one. */
import type { LocalAuthority, Organisation, Role } from '../cpis/caller.ts';

export interface Client {
  readonly clientId: string;
  readonly organisation: Organisation;
  readonly role: Role;
  /** Public keys (RFC 7517), each with `kid`. */
  readonly jwks: { readonly keys: readonly JsonWebKeyRecord[] };
  /** SMART scopes that the client may ask for. */
  readonly scopes: readonly string[];
  readonly subscriptionOrigins: readonly string[];
  readonly silentReads: boolean;
  /** How AuditEvents are sent to this client's endpoints: `PUT {endpoint}/AuditEvent/{id}` or `POST {endpoint}`. */
  readonly notificationMethod: 'PUT' | 'POST';
  /** What its notifications are signed with beside our own keys: HMAC secrets of 24 to 64 bytes, two while they change. */
  readonly webhookSecrets: readonly Uint8Array[];
}

/** A public JSON Web Key. */
export type JsonWebKeyRecord = Readonly<Record<string, unknown>> & { readonly kid: string; readonly kty: string };

export interface Registry {
  /** Grows at each reload (epoch ms of the load): what was derived from an older snapshot is derived again. */
  readonly revision: number;
  readonly organisations: ReadonlyMap<string, Organisation>;
  readonly authorities: ReadonlyMap<string, LocalAuthority>;
  readonly clients: ReadonlyMap<string, Client>;
}
