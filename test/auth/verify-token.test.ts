import { createHmac, createPublicKey } from 'node:crypto';
import { subscribe } from 'node:diagnostics_channel';
import { readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { exportJWK, type FetchImplementation, generateKeyPair, importJWK, SignJWT } from 'jose';
import { test } from 'tap';
import { buildServerUrls } from '../../src/auth/server-urls.ts';
import { loadSigningKey, openSigningKey } from '../../src/auth/signing-key.ts';
import { buildJwks, buildSmartConfiguration } from '../../src/auth/smart-configuration.ts';
import { TokenCache } from '../../src/auth/token-cache.ts';
import { issueToken } from '../../src/auth/token-endpoint.ts';
import { buildTokenVerifier } from '../../src/auth/verify-token.ts';
import type { Caller } from '../../src/cpis/caller.ts';
import { FhirFault } from '../../src/fhir/fault.ts';
import { parseRegistry } from '../../src/registry/parse-registry.ts';
import { forgeJwt, makeClientKeys, makeTokenRequest, signerOf } from '../support/keys.ts';

let sockets = 0;
subscribe('net.client.socket', () => {
  sockets++;
});

const startMs = Date.UTC(2026, 0, 2, 12, 0, 0);
const now = startMs / 1000;
const urls = buildServerUrls('https://cpis.example.org/FHIR/R4', '/FHIR/R4');
const keys = await makeClientKeys('k1');
const { privateKey: ownPrivate } = await generateKeyPair('ES256', { extractable: true });
const ownJwk = await exportJWK(ownPrivate);
const signingKey = await loadSigningKey(ownJwk);
const iua = {
  subject_name: 'Dr Synthetic Example',
  subject_role: 'Nurse',
  subject_organization: 'Hospital',
  subject_organization_id: 'ZZH01',
  subject_id: 'https://fhir.nhs.uk/Id/sds-user-id|555021935107',
};

function makeRegistry(revision: number, change: object = {}, odsCode = 'ZZH01') {
  const epr = {
    clientId: 'epr',
    organisation: odsCode,
    role: 'care-provider',
    jwks: { keys: [keys.publicJwk] },
    scopes: ['system/Flag.rs', 'system/AuditEvent.rs'],
    silentReads: true,
    ...change,
  };
  const organisations = [
    { kind: 'care-provider', name: 'Hospital', odsCode },
    { kind: 'operator', name: 'Operator', odsCode: 'ZZS01' },
  ];
  const operator = {
    clientId: 'operator',
    organisation: 'ZZS01',
    role: 'operator',
    jwks: { keys: [keys.publicJwk] },
    scopes: ['system/Organization.rs'],
  };
  return parseRegistry({ organisations, clients: [epr, operator] }, revision);
}

const header = { alg: 'ES256', kid: signingKey.kid, typ: 'at+jwt' };
const claims = {
  iss: urls.issuer,
  sub: 'epr',
  client_id: 'epr',
  aud: urls.baseUrl,
  iat: now,
  exp: now + 300,
  jti: 'token-1',
  scope: 'system/Flag.rs',
  extensions: { ihe_iua: iua },
};
const ownSign = signerOf(ownJwk, 'ES256');

function forge(headerChange: object, claimsChange: object, sign: (input: string) => Buffer | string = ownSign): string {
  return forgeJwt(JSON.stringify({ ...header, ...headerChange }), JSON.stringify({ ...claims, ...claimsChange }), sign);
}

async function refusalOf(attempt: Promise<Caller>): Promise<FhirFault | undefined> {
  try {
    await attempt;
    return undefined;
  } catch (error) {
    if (error instanceof FhirFault) return error;
    throw error;
  }
}

function setup(change: Partial<Parameters<typeof buildTokenVerifier>[0]> = {}) {
  const state = { nowMs: startMs, registry: makeRegistry(1) };
  const noFetch: FetchImplementation = () => Promise.reject(new Error('no fetch is allowed here'));
  const verifier = buildTokenVerifier({
    registry: () => state.registry,
    signingKey: () => signingKey,
    urls,
    trustedIssuers: [],
    nowMs: () => state.nowMs,
    fetch: noFetch,
    ...change,
  });
  return { state, ...verifier };
}

test('a token of the token endpoint identifies the caller, and is cached', async (t) => {
  const { state, verify, peek } = setup();
  const used = new Set<string>();
  const form = await makeTokenRequest({ clientId: 'epr', keys, iua }, urls.tokenUrl, 'system/*.rs', startMs);
  const { body } = await issueToken(form, {
    nowMs: startMs,
    registry: state.registry,
    store: { useOnce: async (key) => used.size < used.add(key).size },
    signingKey,
    urls,
    lifetimeS: 60,
  });
  const authorization = `Bearer ${String(body['access_token'])}`;
  t.equal(peek(authorization), undefined);
  const caller = await verify(authorization);
  t.match(caller, {
    clientId: 'epr',
    role: 'care-provider',
    organisation: { id: 'ZZH01' },
    professional: {
      id: { system: 'https://fhir.nhs.uk/Id/sds-user-id', value: '555021935107' },
      name: 'Dr Synthetic Example',
      role: { text: 'Nurse' },
      organisationName: 'Hospital',
      organisationId: 'ZZH01',
    },
    issuer: urls.issuer,
    silentReads: true,
  });
  t.strictSame(
    [...caller.grants].map(([type, granted]) => [type, [...granted]]),
    [
      ['AuditEvent', ['r', 's']],
      ['Flag', ['r', 's']],
    ],
  );
  t.equal(peek(authorization), caller);
  t.equal(await verify(authorization), caller);
  state.nowMs += 59_999;
  t.equal(peek(authorization), caller);
  state.nowMs += 1;
  t.equal(peek(authorization), undefined, 'not a moment longer than it lives');
  t.match(await refusalOf(verify(authorization)), { category: 'login', detail: 'time' });
});

test('a reload of the registry applies to cached tokens', async (t) => {
  const { state, verify, peek } = setup();
  const authorization = `bearer ${forge({}, {})}`;
  t.ok((await verify(authorization)).grants.has('Flag'));
  state.registry = makeRegistry(2, { scopes: ['system/Flag.r'], silentReads: false });
  t.match(peek(authorization), { silentReads: false });
  t.strictSame([...(peek(authorization)?.grants.get('Flag') ?? [])], ['r']);
  t.equal(peek(authorization), await verify(authorization), 'derived once');
  state.registry = makeRegistry(3, { clientId: 'someone-else' });
  t.equal(peek(authorization), undefined);
  t.match(await refusalOf(verify(authorization)), { category: 'login', detail: 'unknown-client' });
  state.registry = makeRegistry(4, {}, 'ZZH09');
  t.match(
    await refusalOf(verify(authorization)),
    { category: 'login', detail: 'professional' },
    'another organisation now',
  );
  state.registry = makeRegistry(5);
  t.equal((await verify(authorization)).clientId, 'epr');
});

test('the challenge names no error if there was no token', async (t) => {
  const { verify, peek } = setup();
  for (const authorization of [undefined, '', 'Basic ZXByOng=', 'Bearer', 'BearerX abc']) {
    const refusal = await refusalOf(verify(authorization));
    t.match(refusal, { category: 'login', detail: 'no-token', isTokenInvalid: false });
    t.equal(peek(authorization), undefined);
  }
});

test('case 40 and the attacks of case 37 on access tokens: the same 401 invalid_token, and nothing is fetched', async (t) => {
  const { verify, peek } = setup();
  const pem = createPublicKey({ key: { ...signingKey.publicJwk }, format: 'jwk' }).export({
    type: 'spki',
    format: 'pem',
  });
  const stranger = await generateKeyPair('ES256', { extractable: true });
  const strangerJwk = await exportJWK(stranger.privateKey);
  const [goodHeader = '', goodClaims = '', goodSignature = ''] = forge({}, {}).split('.');
  const headerJson = JSON.stringify(header);
  const claimsJson = JSON.stringify(claims);
  t.equal((await verify(`Bearer ${forge({}, {})}`)).clientId, 'epr', 'the baseline is good');
  const attacks: Readonly<Record<string, string>> = {
    'alg none': forge({ alg: 'none' }, {}, () => ''),
    'alg NONE': forge({ alg: 'NONE' }, {}, () => ''),
    'HS256 keyed by the PEM': forge({ alg: 'HS256' }, {}, (input) => createHmac('sha256', pem).update(input).digest()),
    'empty signature': forge({}, {}, () => ''),
    'ES256 r = s = 0': forge({}, {}, () => Buffer.alloc(64)),
    'key of a stranger': forge({}, {}, signerOf(strangerJwk, 'ES256')),
    'key of the client': forge({ alg: 'ES384', kid: 'k1' }, {}, signerOf(keys.privateJwk, 'ES384')),
    'jwk of a stranger': forge({ jwk: strangerJwk }, {}, signerOf(strangerJwk, 'ES256')),
    jku: forge({ jku: 'https://127.0.0.1:1/jwks' }, {}),
    crit: forge({ crit: ['exp'] }, {}),
    'other kid': forge({ kid: 'another' }, {}),
    'kid missing': forge({ kid: undefined }, {}),
    'kid __proto__': forge({ kid: '__proto__' }, {}),
    'typ JWT': forge({ typ: 'JWT' }, {}),
    'typ missing': forge({ typ: undefined }, {}),
    'client assertion as token': forge({ typ: 'JWT' }, { iss: 'epr', aud: urls.tokenUrl }),
    'iss of another environment': forge({}, { iss: 'https://int.example.org' }),
    'iss __proto__': forge({}, { iss: '__proto__' }),
    'aud of another environment': forge({}, { aud: 'https://int.example.org/FHIR/R4' }),
    'aud missing': forge({}, { aud: undefined }),
    'expired by one second': forge({}, { iat: now - 300, exp: now - 1 }),
    'expired this moment': forge({}, { iat: now - 300, exp: now }),
    'exp missing': forge({}, { exp: undefined }),
    'exp text': forge({}, { exp: String(now + 60) }),
    'exp too far': forge({}, { exp: now + 311 }),
    'exp 1e300': forgeJwt(headerJson, claimsJson.replace(String(now + 300), '1e300'), ownSign),
    'exp twice': forgeJwt(headerJson, claimsJson.replace('{', `{"exp":${now - 1},`), ownSign),
    'client_id twice': forgeJwt(headerJson, claimsJson.replace('{', '{"client\\u005fid":"operator",'), ownSign),
    'iat missing': forge({}, { iat: undefined }),
    'iat in the future': forge({}, { iat: now + 11 }),
    'nbf in the future': forge({}, { nbf: now + 11 }),
    'bound to a certificate': forge({}, { cnf: { 'x5t#S256': 'AAAA' } }),
    'bound to a DPoP key': forge({}, { cnf: { jkt: 'AAAA' } }),
    'client unknown': forge({}, { client_id: 'nobody' }),
    'client revoked, by name of a prototype': forge({}, { client_id: 'constructor' }),
    'client missing': forge({}, { client_id: undefined }),
    'client and azp differ': forge({}, { azp: 'operator' }),
    'jti a number': forge({}, { jti: 7 }),
    'jti over-long': forge({}, { jti: 'j'.repeat(129) }),
    'no professional': forge({}, { extensions: undefined }),
    'professional without a name': forge({}, { extensions: { ihe_iua: { ...iua, subject_name: '' } } }),
    'professional of another organisation': forge(
      {},
      { extensions: { ihe_iua: { ...iua, subject_organization_id: 'ZZS01' } } },
    ),
    'claims of another token': `${goodHeader}.${forge({}, { client_id: 'operator' }).split('.')[1]}.${goodSignature}`,
    'two parts': `${goodHeader}.${goodClaims}`,
    'not a token': 'abc',
    'not b64token': 'a b',
    'over-long': forge({}, { x: 'x'.repeat(9000) }),
  };
  const socketsBefore = sockets;
  const answers = new Set<string>();
  for (const [name, token] of Object.entries(attacks)) {
    for (const again of ['', ', again']) {
      const refusal = await refusalOf(verify(`Bearer ${token}`));
      t.equal(refusal?.category, 'login', `${name}${again}: ${refusal?.detail}`);
      answers.add(JSON.stringify([refusal?.isTokenInvalid, refusal?.issues]));
    }
    t.equal(peek(`Bearer ${token}`), undefined, name);
  }
  t.equal(answers.size, 1);
  t.match([...answers][0], /^\[true,/);
  t.equal(sockets, socketsBefore);
});

test('the scope of a token can only narrow the registered scopes', async (t) => {
  const { verify } = setup();
  const rows: readonly (readonly [scope: unknown, granted: readonly string[]])[] = [
    ['system/*.cruds', ['Flag:rs', 'AuditEvent:rs']],
    ['system/Flag.r', ['Flag:r']],
    ['system/Flag.s openid', ['Flag:s']],
    ['system/Subscription.cruds', []],
    ['patient/Flag.rs user/*.rs system/Flag.sr', []],
    ['system/Flag.rs?category=x', []],
    [undefined, []],
    [['system/Flag.rs'], []],
    ['system/Flag.rs '.repeat(300), []],
  ];
  for (const [scope, granted] of rows) {
    const caller = await verify(`Bearer ${forge({}, { scope })}`);
    t.strictSame(
      [...caller.grants].map(([type, permissions]) => `${type}:${[...permissions].join('')}`),
      granted,
    );
  }
});

test('accepts tokens of a trusted issuer', async (t) => {
  const pair = await generateKeyPair('RS512', { extractable: true });
  const stranger = await generateKeyPair('RS512', { extractable: true });
  const jwks = { keys: [{ ...(await exportJWK(pair.publicKey)), kid: 'ext-1', alg: 'RS512', use: 'sig' }] };
  const trusted = {
    issuer: 'https://id.example.org',
    jwksUrl: 'https://id.example.org/jwks',
    algorithms: ['RS512'],
    audience: 'https://cpis.example.org',
    tokenTypes: ['at+jwt', 'JWT'],
  };
  const fetched: string[] = [];
  let answer: () => Response = () => Response.json(jwks);
  const fetch: FetchImplementation = async (url, { redirect }) => {
    fetched.push(`${url} ${redirect}`);
    return answer();
  };
  const fromTrusted = makeRegistry(1, { issuers: [trusted.issuer] });
  const own = setup({ trustedIssuers: [trusted], fetch, registry: () => fromTrusted });
  const sign = (change: object, typ = 'JWT', kid = 'ext-1', key = pair.privateKey) =>
    new SignJWT({
      iss: trusted.issuer,
      aud: trusted.audience,
      azp: 'epr',
      iat: now,
      exp: now + 600,
      scope: 'system/Flag.rs',
      extensions: { ihe_iua: iua },
      ...change,
    })
      .setProtectedHeader({ alg: 'RS512', kid, typ })
      .sign(key);
  const caller = await own.verify(`Bearer ${await sign({})}`);
  t.match(caller, { clientId: 'epr', issuer: trusted.issuer, tokenId: /^[\w-]{43}$/, professional: { name: /^Dr/ } });
  t.match(await own.verify(`Bearer ${await sign({ jti: 'j1', aud: ['x', trusted.audience] }, 'at+jwt')}`), {
    tokenId: 'j1',
  });
  t.strictSame(fetched, ['https://id.example.org/jwks manual'], 'its keys are fetched once, without redirects');

  const refused: Readonly<Record<string, string>> = {
    'own audience instead of the configured': await sign({ aud: urls.baseUrl }),
    'two hours': await sign({ exp: now + 7200 }),
    'not a registered client': await sign({ azp: 'nobody' }),
    'no professional': await sign({ extensions: undefined }),
    'a stranger signed': await sign({}, 'JWT', 'ext-1', stranger.privateKey),
    'unknown kid': await sign({}, 'JWT', 'ext-2'),
    'typ of something else': await sign({}, 'logout+jwt'),
    'names us as issuer': await sign({ iss: urls.issuer }),
    'our key, their name': forge({}, { iss: trusted.issuer, aud: trusted.audience }),
  };
  for (const [name, token] of Object.entries(refused)) {
    t.equal((await refusalOf(own.verify(`Bearer ${token}`)))?.category, 'login', name);
  }
  t.equal(fetched.length, 1, 'an unknown kid does not make us fetch again at once');

  const bad: readonly (() => Response)[] = [
    () => new Response('', { status: 500 }),
    () => new Response('', { status: 302, headers: { location: 'https://127.0.0.1:1/' } }),
    () => new Response('not JSON'),
    () => Response.json({ keys: 'none' }),
    () => {
      throw new TypeError('fetch failed');
    },
  ];
  for (answer of bad) {
    const { verify } = setup({ trustedIssuers: [trusted], fetch });
    const refusal = await refusalOf(verify(`Bearer ${await sign({})}`));
    t.match(refusal, { category: 'transient', detail: 'issuer-keys', retryAfterS: 30 });
  }
});

test('the cache is bounded and keeps the entries in use', async (t) => {
  const cache = new TokenCache<number>(10);
  for (let index = 0; index < 1000; index++) {
    cache.set(`key-${index}`, index);
    t.ok(cache.size <= 10);
    if (index >= 3) t.equal(cache.get('key-3'), 3);
  }
  t.equal(cache.get('key-990'), undefined);
  cache.delete('key-3');
  t.equal(cache.get('key-3'), undefined);
  const { verify, peek } = setup({ cacheSize: 4 });
  const tokens = Array.from({ length: 9 }, (_, index) => `Bearer ${forge({}, { jti: `t${index}` })}`);
  for (const token of tokens) await verify(token);
  t.ok(tokens.filter((token) => peek(token) !== undefined).length <= 4);
});

test('the signing key is created once, private, and the same for processes that start together', async (t) => {
  const folder = t.testdir({});
  const file = join(folder, 'new', 'signing-key.json');
  const all = await Promise.all(Array.from({ length: 4 }, () => openSigningKey(file)));
  t.equal(new Set(all.map(({ kid }) => kid)).size, 1);
  t.equal(statSync(file).mode & 0o777, 0o600);
  const again = await openSigningKey(file);
  t.equal(again.kid, all[0]?.kid);
  t.strictSame(again.cursorKey, all[0]?.cursorKey);
  t.equal(again.cursorKey.length, 32);
  t.equal(again.sealKey.length, 32);
  t.notSame(again.sealKey, again.cursorKey);
  t.notOk(readFileSync(file, 'utf8').includes(again.cursorKey.toString('base64url')));
  t.strictSame(Object.keys(buildJwks(again).keys[0] ?? {}).sort(), ['alg', 'crv', 'kid', 'kty', 'use', 'x', 'y']);
  t.ok(await importJWK(buildJwks(again).keys[0] ?? {}, 'ES256'));
  for (const text of ['', '{}', JSON.stringify(again.publicJwk), JSON.stringify(keys.privateJwk)]) {
    writeFileSync(file, text);
    await t.rejects(openSigningKey(file), /does not hold a private EC P-256 key/);
  }
});

test('builds the SMART configuration', async (t) => {
  t.match(buildSmartConfiguration(urls), {
    issuer: 'https://cpis.example.org',
    jwks_uri: 'https://cpis.example.org/.well-known/jwks.json',
    token_endpoint: 'https://cpis.example.org/oauth2/token',
    token_endpoint_auth_methods_supported: ['private_key_jwt'],
    token_endpoint_auth_signing_alg_values_supported: ['RS384', 'ES384', 'RS512'],
    grant_types_supported: ['client_credentials'],
    capabilities: ['client-confidential-asymmetric', 'permission-v1', 'permission-v2'],
  });
});
