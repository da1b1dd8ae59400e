/** Absolute URLs of this server, derived from the public FHIR base. */
export interface ServerUrls {
  /** `iss` of our access tokens: the public base URL without the base path. */
  readonly issuer: string;
  /** `aud` of our access tokens. */
  readonly baseUrl: string;
  /** `aud` of client assertions. */
  readonly tokenUrl: string;
  readonly jwksUrl: string;
}

/** Relative to the issuer. */
const tokenPath = '/oauth2/token';
const jwksPath = '/.well-known/jwks.json';

/** Builds the URLs. The settings ensure that `publicBaseUrl` ends with `basePath`. */
export function buildServerUrls(publicBaseUrl: string, basePath: string): ServerUrls {
  const issuer = publicBaseUrl.slice(0, publicBaseUrl.length - basePath.length);
  return {
    issuer,
    baseUrl: publicBaseUrl,
    tokenUrl: `${issuer}${tokenPath}`,
    jwksUrl: `${issuer}${jwksPath}`,
  };
}
