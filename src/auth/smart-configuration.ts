import type { JWK } from 'jose';
import { clientAlgorithms } from '../registry/check-public-key.ts';
import type { ServerUrls } from './server-urls.ts';
import type { SigningKey } from './signing-key.ts';

/** Builds `[base]/.well-known/smart-configuration`. https://hl7.org/fhir/smart-app-launch/STU2.2/conformance.html */
export function buildSmartConfiguration(urls: ServerUrls, asksForCertificates = false) {
  return {
    issuer: urls.issuer,
    jwks_uri: urls.jwksUrl,
    token_endpoint: urls.tokenUrl,
    token_endpoint_auth_methods_supported: ['private_key_jwt'],
    token_endpoint_auth_signing_alg_values_supported: [...clientAlgorithms],
    grant_types_supported: ['client_credentials'],
    scopes_supported: [
      'system/Flag.cruds',
      'system/Patient.crus',
      'system/Organization.rs',
      'system/AuditEvent.rs',
      'system/Subscription.cruds',
    ],
    tls_client_certificate_bound_access_tokens: asksForCertificates,
    code_challenge_methods_supported: ['S256'],
    capabilities: ['client-confidential-asymmetric', 'permission-v1', 'permission-v2'],
  };
}

/** Builds the JWK Set at `jwks_uri` with the public keys that verify access tokens (RFC 7517 section 5). */
export function buildJwks(signingKey: SigningKey): { readonly keys: readonly JWK[] } {
  return { keys: [signingKey, ...signingKey.older].map(({ publicJwk }) => publicJwk) };
}
