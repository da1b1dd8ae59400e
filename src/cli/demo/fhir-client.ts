import { buildTokenRequest, signClientAssertion } from '../../auth/client-assertion.ts';
import type { IuaClaims } from '../../auth/iua.ts';
import type { SyntheticClient } from './synthetic-registry.ts';

export interface FhirResponse<T> {
  readonly status: number;
  readonly headers: Headers;
  /** The parsed JSON body; undefined when there was none. */
  readonly body: T;
}

/** A client of this server: gets its tokens by `private_key_jwt` and renews them before they expire. */
export interface FhirClient {
  /** `path` is relative to the FHIR base; a body is sent as application/fhir+json. */
  request<T = unknown>(
    method: string,
    path: string,
    body?: unknown,
    headers?: Readonly<Record<string, string>>,
  ): Promise<FhirResponse<T>>;
  /** A valid access token. */
  token(): Promise<string>;
}

const renewBeforeMs = 30_000;

/** `baseUrl` is the FHIR base; the token endpoint is found by SMART discovery. `iua` replaces the client's own. */
export function openFhirClient(
  baseUrl: string,
  client: SyntheticClient,
  iua: IuaClaims | undefined = client.iua,
): FhirClient {
  let current: { readonly token: string; readonly goodUntilMs: number } | undefined;
  let pending: Promise<string> | undefined;

  async function fetchToken(): Promise<string> {
    const discovered = await fetch(`${baseUrl}/.well-known/smart-configuration`);
    const { token_endpoint: tokenUrl } = (await discovered.json()) as { token_endpoint: string };
    const { clientId, privateJwk, scope } = client;
    const assertion = await signClientAssertion({
      clientId,
      tokenUrl,
      privateJwk,
      nowMs: Date.now(),
      ...(iua === undefined ? {} : { iua }),
    });
    const response = await fetch(tokenUrl, { method: 'POST', body: buildTokenRequest(assertion, scope) });
    if (!response.ok) throw new Error(`the token endpoint answered ${response.status}: ${await response.text()}`);
    const { access_token: token, expires_in: lifetimeS } = (await response.json()) as {
      access_token: string;
      expires_in: number;
    };
    current = { token, goodUntilMs: Date.now() + lifetimeS * 1000 - renewBeforeMs };
    return token;
  }

  async function token(): Promise<string> {
    if (current !== undefined && Date.now() < current.goodUntilMs) return current.token;
    pending ??= fetchToken().finally(() => {
      pending = undefined;
    });
    return pending;
  }

  return {
    token,
    async request<T>(method: string, path: string, body?: unknown, headers: Readonly<Record<string, string>> = {}) {
      const response = await fetch(path === '' ? baseUrl : `${baseUrl}/${path}`, {
        method,
        headers: {
          authorization: `Bearer ${await token()}`,
          accept: 'application/fhir+json',
          ...(body === undefined ? {} : { 'content-type': 'application/fhir+json' }),
          ...headers,
        },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      });
      const text = await response.text();
      return {
        status: response.status,
        headers: response.headers,
        body: (text === '' ? undefined : JSON.parse(text)) as T,
      };
    },
  };
}
