import { randomUUID } from 'node:crypto';
import { importJWK, type JWK, jwtVerify } from 'jose';
import type { StandInAnswer } from './stand-in-answers.ts';

export interface StandInClient {
  readonly clientId: string;
  /** With `kid`. */
  readonly publicJwk: JWK;
}

export interface StandInTokens {
  /** Answers a token request as NHS England's API platform does. */
  issue(form: URLSearchParams): Promise<StandInAnswer>;
  isValid(authorization: string | undefined): boolean;
  /** Makes all tokens invalid, as when the platform forgets them. */
  revoke(): void;
}

const lifetimeS = 599;
const maxAssertionS = 300;

/** Opens the token endpoint of the stand-in. `tokenUrl` is the only accepted audience. */
export function openStandInTokens({ clientId, publicJwk }: StandInClient, tokenUrl: string): StandInTokens {
  const expiryMs = new Map<string, number>();
  const usedIds = new Set<string>();
  const refuse = (status: number, error: string, description: string): StandInAnswer => ({
    status,
    body: { error, error_description: description },
  });

  async function checkAssertion(assertion: string): Promise<string | undefined> {
    const key = await importJWK(publicJwk, 'RS512');
    const { payload, protectedHeader } = await jwtVerify(assertion, key, {
      algorithms: ['RS512'],
      issuer: clientId,
      subject: clientId,
      audience: tokenUrl,
      typ: 'JWT',
      requiredClaims: ['exp', 'jti'],
    });
    const { exp = 0, jti = '' } = payload;
    if (protectedHeader.kid !== publicJwk.kid) return "Invalid 'kid' header in JWT - no matching public key";
    if (exp - Date.now() / 1_000 > maxAssertionS) return "Invalid 'exp' claim in JWT - more than 5 minutes in future";
    if (usedIds.has(jti)) return "Non-unique 'jti' claim in JWT";
    usedIds.add(jti);
    return undefined;
  }

  return {
    async issue(form) {
      if (form.get('grant_type') !== 'client_credentials') {
        return refuse(400, 'unsupported_grant_type', 'grant_type is invalid');
      }
      if (form.get('client_assertion_type') !== 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer') {
        return refuse(400, 'invalid_request', 'Missing or invalid client_assertion_type');
      }
      const problem = await checkAssertion(form.get('client_assertion') ?? '').catch(() => 'JWT is invalid');
      if (problem !== undefined) return refuse(401, 'invalid_request', problem);
      const token = randomUUID().replaceAll('-', '');
      expiryMs.set(token, Date.now() + lifetimeS * 1_000);
      return {
        status: 200,
        body: {
          access_token: token,
          expires_in: String(lifetimeS),
          token_type: 'Bearer',
          issued_at: String(Date.now()),
        },
      };
    },
    isValid(authorization = '') {
      const [, token = ''] = /^Bearer (\S+)$/.exec(authorization) ?? [];
      return (expiryMs.get(token) ?? 0) > Date.now();
    },
    revoke: () => expiryMs.clear(),
  };
}
