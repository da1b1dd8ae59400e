/**
 * The registry: organisations and clients, configured by the operator. A snapshot is immutable; a reload builds a new
 * one.
 */
import type { LocalAuthority, Organisation, Role } from '../cpis/caller.ts';

export interface Client {
  readonly clientId: string;
  readonly organisation: Organisation;
  readonly role: Role;
  /** Public keys (RFC 7517), each with `kid`. */
  readonly jwks: { readonly keys: readonly JsonWebKeyRecord[] };
  /** `iss` of the trusted issuers whose tokens may name this client. Tokens of this server always may. */
  readonly issuers: readonly string[];
  /** True if each of its tokens must be bound to its client certificate (RFC 8705). */
  readonly certificateBoundTokens: boolean;
  /** SMART scopes that the client may request. */
  readonly scopes: readonly string[];
  readonly subscriptionOrigins: readonly string[];
  readonly silentReads: boolean;
  /** How AuditEvents are sent to this client's endpoints: `PUT {endpoint}/AuditEvent/{id}` or `POST {endpoint}`. */
  readonly notificationMethod: 'PUT' | 'POST';
  /** HMAC secrets of 24 to 64 bytes that also sign its notifications. Two during a change of secret. */
  readonly webhookSecrets: readonly Uint8Array[];
}

/** A public JSON Web Key. */
export type JsonWebKeyRecord = Readonly<Record<string, unknown>> & { readonly kid: string; readonly kty: string };

export interface Registry {
  /** Time of the load in epoch milliseconds. It grows at each reload, so that caches notice a new snapshot. */
  readonly revision: number;
  readonly organisations: ReadonlyMap<string, Organisation>;
  readonly authorities: ReadonlyMap<string, LocalAuthority>;
  readonly clients: ReadonlyMap<string, Client>;
}
