import { openAccessTokenSource } from '../auth/access-token-source.ts';
import type { IuaClaims } from '../auth/iua.ts';
import { defined } from '../fhir/defined.ts';
import type { SyntheticClient } from './synthetic-registry.ts';

export interface FhirResponse<T> {
  readonly status: number;
  readonly headers: Headers;
  /** The parsed JSON body; undefined if there was none. */
  readonly body: T;
}

/** A client of this server, authenticated with `private_key_jwt`. */
export interface FhirClient {
  /** Sends a request. `path` is relative to the FHIR base; a body is sent as application/fhir+json. */
  request<T = unknown>(
    method: string,
    path: string,
    body?: unknown,
    headers?: Readonly<Record<string, string>>,
  ): Promise<FhirResponse<T>>;
  /** Returns a valid access token. */
  token(): Promise<string>;
}

/** Opens a client. `baseUrl` is the FHIR base. `iua` replaces the professional of the client. */
export function openFhirClient(
  baseUrl: string,
  client: SyntheticClient,
  iua: IuaClaims | undefined = client.iua,
): FhirClient {
  const { token } = openAccessTokenSource(baseUrl, { ...client, iua });
  return {
    token,
    async request<T>(method: string, path: string, body?: unknown, headers: Readonly<Record<string, string>> = {}) {
      const response = await fetch(path === '' ? baseUrl : `${baseUrl}/${path}`, {
        method,
        headers: {
          authorization: `Bearer ${await token()}`,
          accept: 'application/fhir+json',
          ...defined({ 'content-type': body === undefined ? undefined : 'application/fhir+json' }),
          ...headers,
        },
        ...defined({ body: body === undefined ? undefined : JSON.stringify(body) }),
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
