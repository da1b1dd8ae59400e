/** Attacks in which a token or a claim speaks for somebody else. */
import { type CryptoKey, exportJWK, type FetchImplementation, generateKeyPair, SignJWT } from 'jose';
import { test } from 'tap';
import { buildServerUrls } from '../../src/auth/server-urls.ts';
import { loadSigningKey } from '../../src/auth/signing-key.ts';
import { issueToken } from '../../src/auth/token-endpoint.ts';
import { buildTokenVerifier } from '../../src/auth/verify-token.ts';
import type { Caller } from '../../src/cpis/caller.ts';
import { FhirFault } from '../../src/fhir/fault.ts';
import { parseRegistry } from '../../src/registry/parse-registry.ts';
import { makeClientKeys, makeTokenRequest } from '../support/keys.ts';

const startMs = Date.UTC(2026, 0, 2, 12, 0, 0);
const now = startMs / 1000;
const urls = buildServerUrls('https://cpis.example.org/FHIR/R4', '/FHIR/R4');
const [keys, newKeys] = await Promise.all([makeClientKeys('k1'), makeClientKeys('k1')]);
const { privateKey: ownPrivate } = await generateKeyPair('ES256', { extractable: true });
const signingKey = await loadSigningKey(await exportJWK(ownPrivate));
const iua = {
  subject_name: 'Dr Synthetic Example',
  subject_role: 'Nurse',
  subject_organization: 'Northmoor General Hospital',
  subject_organization_id: 'ZZH01',
};

/** Two issuers that use the same `kid`: the supplier of the EPR, and the council's own. */
const supplier = {
  issuer: 'https://id.supplier.example.org',
  pair: await generateKeyPair('ES256', { extractable: true }),
};
const council = {
  issuer: 'https://id.council.example.org',
  pair: await generateKeyPair('ES256', { extractable: true }),
};
type TestIssuer = typeof supplier;
const audience = 'https://cpis.example.org';
const trustedIssuers = [supplier, council].map(({ issuer }) => ({
  issuer,
  jwksUrl: `${issuer}/jwks`,
  algorithms: ['ES256'],
  audience,
}));
const fetch: FetchImplementation = async (url) => {
  const { pair } = [supplier, council].find(({ issuer }) => url === `${issuer}/jwks`) ?? {};
  if (pair === undefined) throw new TypeError('no such issuer');
  return Response.json({
    keys: [{ ...(await exportJWK(pair.publicKey)), kid: 'shared-kid', alg: 'ES256', use: 'sig' }],
  });
};

const registryJson = {
  organisations: [
    {
      kind: 'local-authority',
      name: 'Northmoor',
      odsCode: 'ZZL01',
      gssCode: 'E99000001',
      dfeCode: '991',
      officeHoursTelephone: '01632 960010',
      emergencyDutyTeamTelephone: '01632 960019',
    },
    { kind: 'care-provider', name: 'Northmoor General Hospital', odsCode: 'ZZH01' },
    { kind: 'operator', name: 'Operator', odsCode: 'ZZS01' },
  ],
  clients: [
    {
      clientId: 'epr',
      organisation: 'ZZH01',
      role: 'care-provider',
      jwks: { keys: [keys.publicJwk] },
      scopes: ['system/Flag.rs', 'system/AuditEvent.s'],
      issuers: [supplier.issuer],
    },
    {
      clientId: 'case-system',
      organisation: 'E99000001',
      role: 'authority',
      jwks: { keys: [keys.publicJwk] },
      scopes: ['system/Flag.cruds', 'system/Patient.cruds'],
      issuers: [council.issuer],
    },
    {
      clientId: 'operator',
      organisation: 'ZZS01',
      role: 'operator',
      jwks: { keys: [keys.publicJwk] },
      scopes: ['system/Organization.rus'],
    },
  ],
};

function withEpr(change: object, organisationChange: object = {}) {
  const { organisations, clients } = registryJson;
  return parseRegistry(
    {
      organisations: organisations.map((each) =>
        each.odsCode === 'ZZH01' ? { ...each, ...organisationChange } : each,
      ),
      clients: clients.map((each) => (each.clientId === 'epr' ? { ...each, ...change } : each)),
    },
    ++revision,
  );
}
let revision = 1;

function setup(issuers: readonly object[] = trustedIssuers as readonly object[]) {
  const state = { registry: parseRegistry(registryJson, 1) };
  const verifier = buildTokenVerifier({
    registry: () => state.registry,
    signingKey: () => signingKey,
    urls,
    trustedIssuers: issuers as typeof trustedIssuers,
    nowMs: () => startMs,
    fetch,
  });
  const detailOf = async (token: string, certificate?: string): Promise<string> => {
    try {
      return (await verifier.verify(`Bearer ${token}`, () => certificate)).clientId;
    } catch (error) {
      if (error instanceof FhirFault && error.category === 'login') return error.detail ?? '';
      throw error;
    }
  };
  return { state, ...verifier, detailOf };
}

function sign({ issuer, pair }: TestIssuer, change: object, header: object = {}, key: CryptoKey = pair.privateKey) {
  return new SignJWT({
    ...{ iss: issuer, aud: audience, client_id: 'epr', sub: 'user-1', iat: now, exp: now + 600 },
    ...{ scope: 'system/*.cruds', extensions: { ihe_iua: iua } },
    ...change,
  })
    .setProtectedHeader({ alg: 'ES256', kid: 'shared-kid', typ: 'at+jwt', ...header })
    .sign(key);
}

const used = new Set<string>();
async function ownToken(
  registry: ReturnType<typeof parseRegistry>,
  claims: object = iua,
  {
    clientId = 'epr',
    certificate,
    client = keys,
  }: { clientId?: string; certificate?: string; client?: typeof keys } = {},
) {
  const form = await makeTokenRequest(
    { clientId, keys: client, iua: claims as typeof iua },
    urls.tokenUrl,
    'system/*.cruds',
    startMs,
  );
  return issueToken(form, {
    nowMs: startMs,
    registry,
    store: { useOnce: async (key) => used.size < used.add(key).size },
    signingKey,
    urls,
    lifetimeS: 300,
    certificate,
  });
}

test('an issuer speaks only for the clients that name it', async (t) => {
  const { detailOf } = setup();
  t.equal(await detailOf(await sign(supplier, {})), 'epr', 'the baseline is good');
  t.equal(await detailOf(await sign(council, { client_id: 'case-system', extensions: undefined })), 'case-system');
  const attacks: readonly (readonly [string, string, Promise<string>])[] = [
    ['the authority, by client_id', 'issuer-of-client', sign(supplier, { client_id: 'case-system' })],
    ['the authority, by azp', 'issuer-of-client', sign(supplier, { client_id: undefined, azp: 'case-system' })],
    ['the operator, which names no issuer', 'issuer-of-client', sign(supplier, { client_id: 'operator' })],
    ['both, different', 'client', sign(supplier, { azp: 'case-system' })],
    ['sub is the authority', 'subject', sign(supplier, { sub: 'case-system' })],
    ['sub only', 'client', sign(supplier, { client_id: undefined, sub: 'epr' })],
    ['an array', 'client', sign(supplier, { client_id: ['epr', 'case-system'] })],
    [
      'the other issuer, with the same kid',
      'signature',
      sign(supplier, { iss: council.issuer, client_id: 'case-system' }),
    ],
    ['this server', 'alg|signature|aud', sign(supplier, { iss: urls.issuer, aud: urls.baseUrl, exp: now + 60 })],
    ['an issuer that differs by a slash', 'issuer', sign(supplier, { iss: `${supplier.issuer}/` })],
    ['an issuer in upper case', 'issuer', sign(supplier, { iss: supplier.issuer.toUpperCase() })],
    ['an issuer in an array', 'issuer', sign(supplier, { iss: [supplier.issuer] })],
    ['a jti with text', 'jti', sign(supplier, { jti: 'Jane Doe 9990000018' })],
  ];
  for (const [name, detail, token] of attacks) t.match(await detailOf(await token), new RegExp(`^(${detail})$`), name);
});

test('a token under the name of this server is verified by its own keys, whatever issuer is set up with that name', async (t) => {
  const impostor = { issuer: urls.issuer, pair: supplier.pair };
  const [own] = trustedIssuers;
  const { detailOf, state } = setup([{ ...own, issuer: urls.issuer }]);
  state.registry = withEpr({ issuers: [urls.issuer] });
  const claims = { aud: [urls.baseUrl, audience], exp: now + 60 };
  t.equal(await detailOf(await sign(impostor, claims)), 'signature', 'the kid of the issuer');
  t.equal(await detailOf(await sign(impostor, claims, { kid: signingKey.kid })), 'signature', 'the kid of this server');
  t.equal(await detailOf(await sign(impostor, { ...claims, aud: audience })), 'aud');
  t.equal(await detailOf(await sign(impostor, claims, { jwk: await exportJWK(supplier.pair.publicKey) })), 'malformed');
  const genuine = String((await ownToken(state.registry)).body['access_token']);
  t.equal(await detailOf(genuine), 'epr');
});

test('an ID token is an access token only for an issuer that is set up for it', async (t) => {
  const { detailOf } = setup();
  const idToken = await sign(supplier, { client_id: undefined, azp: 'epr', nonce: 'n-1' }, { typ: 'JWT' });
  t.equal(await detailOf(idToken), 'typ');
  t.equal(await detailOf(await sign(supplier, {}, { typ: 'application/at+jwt' })), 'epr');
  t.equal(await detailOf(await sign(supplier, {}, { typ: 'logout+jwt' })), 'typ');
  const allowing = setup(trustedIssuers.map((each) => ({ ...each, tokenTypes: ['at+jwt', 'JWT'] })));
  t.equal(await allowing.detailOf(idToken), 'epr');
  const only = setup(trustedIssuers.map((each) => ({ ...each, tokenTypes: ['JWT'] })));
  t.equal(await only.detailOf(await sign(supplier, {})), 'typ');
});

test('no claim gives a role, an organisation or a scope beyond the registry', async (t) => {
  const { verify } = setup();
  const claims = {
    role: 'operator',
    roles: ['operator', 'authority'],
    groups: ['operator'],
    realm_access: { roles: ['operator'] },
    organisation: 'E99000001',
    scp: 'system/Patient.cruds',
    permissions: ['system/Patient.cruds'],
    silentReads: true,
    subscriptionOrigins: ['https://attacker.example.org'],
  };
  const caller: Caller = await verify(`Bearer ${await sign(supplier, claims)}`);
  t.match(caller, {
    role: 'care-provider',
    organisation: { id: 'ZZH01' },
    silentReads: false,
    subscriptionOrigins: [],
  });
  t.strictSame(
    [...caller.grants].map(([type, granted]) => `${type}:${[...granted].join('')}`),
    ['Flag:rs', 'AuditEvent:s'],
  );
});

test('the organisation has its registered name, and a differing claim is refused', async (t) => {
  const { state, detailOf, verify } = setup();
  const named = (change: object) => sign(supplier, { extensions: { ihe_iua: { ...iua, ...change } } });
  const upper = await named({ subject_organization: ' NORTHMOOR  GENERAL HOSPITAL' });
  t.equal((await verify(`Bearer ${upper}`)).professional?.organisationName, 'Northmoor General Hospital');
  const { body } = await ownToken(state.registry, { ...iua, subject_organization: 'northmoor general hospital' });
  const own = String(body['access_token']);
  t.equal((await verify(`Bearer ${own}`)).professional?.organisationName, 'Northmoor General Hospital');
  for (const change of [
    { subject_organization: 'Great Ormond Street Hospital' },
    { subject_organization: 'Northmoor General Hospita\u{131}' },
    { subject_organization_id: 'ZZH02' },
    { subject_organization_id: 'zzh01' },
  ]) {
    t.equal(await detailOf(await named(change)), 'professional', JSON.stringify(change));
    const answer = await ownToken(state.registry, { ...iua, ...change });
    t.match(answer, { status: 400, body: { error: 'invalid_grant' } }, JSON.stringify(change));
  }
  state.registry = withEpr({}, { name: 'Northmoor Royal Hospital' });
  t.equal((await verify(`Bearer ${own}`)).professional?.organisationName, 'Northmoor Royal Hospital', 'after a reload');
});

const hidden = [
  ...'\u0000\u0007\n\t\u007f\u0085\u00ad\u034f\u061c\u115f\u1160\u17b4\u180e\u200b\u200c\u200d\u200e\u200f\u2028\u2029',
  ...'\u202a\u202e\u2060\u2066\u2069\u206a\u2800\u3164\ufe0f\ufeff\uffa0\ufff9\ufffc\u{e0001}\u{e0041}\u{e0100}\u{1d173}',
  '\ud800',
  '\ue000',
];

test('a name that hides characters, or has no letter, is refused wherever it is shown', async (t) => {
  const { state, detailOf } = setup();
  const texts = [
    ...hidden.flatMap((character) => [`Alex${character}Example`, `${character}Alex`, `Alex${character}`, character]),
    ...['', ' ', '\u00a0', '.', '123', '- -', '\u0301', `A${'\u0301'.repeat(9)}`, 'x'.repeat(201)],
  ];
  const places: Readonly<Record<string, (text: string) => object>> = {
    subject_name: (text) => ({ subject_name: text }),
    subject_role: (text) => ({ subject_role: text }),
    'subject_role.display': (text) => ({ subject_role: { code: 'R8000', display: text } }),
    'subject_role.code': (text) => ({ subject_role: { code: text } }),
    subject_organization: (text) => ({ subject_organization: text }),
  };
  for (const text of texts) {
    const shown = [...text]
      .map((each) => `U+${each.codePointAt(0)?.toString(16)}`)
      .join(' ')
      .slice(0, 80);
    for (const [place, claim] of Object.entries(places)) {
      const token = await sign(supplier, { extensions: { ihe_iua: { ...iua, ...claim(text) } } });
      t.match(await detailOf(token), /^(professional|malformed)$/, `${place}: ${shown}`);
    }
    t.throws(() => withEpr({}, { name: text }), /name: must be a name/, `registry: ${shown}`);
  }
  const answer = await ownToken(state.registry, { ...iua, subject_name: 'Alex\u200bExample' });
  t.match(answer, { status: 400, body: { error: 'invalid_grant' } });
  for (const text of ['Alex\u200b', '\u202eAlex']) {
    const id = await sign(supplier, { extensions: { ihe_iua: { ...iua, subject_id: text } } });
    t.equal(await detailOf(id), 'professional', 'subject_id');
  }
});

test('true names are shown as they are, without blanks at their ends', async (t) => {
  const { verify } = setup();
  const rows: readonly (readonly [string, string])[] = [
    ['  Alex Example ', 'Alex Example'],
    ['Alex\u00a0\u2003 Example\u3000', 'Alex Example'],
    ["Siân O'Neill-Łukasz (Dr)", "Siân O'Neill-Łukasz (Dr)"],
    ['Zoe\u0308', 'Zoe\u0308'],
    ['王小明', '王小明'],
    ['محمد علي', 'محمد علي'],
    ['प्रिया', 'प्रिया'],
  ];
  for (const [claim, shown] of rows) {
    const token = await sign(supplier, {
      extensions: { ihe_iua: { ...iua, subject_name: claim, subject_role: claim } },
    });
    const { professional } = await verify(`Bearer ${token}`);
    t.match(professional, { name: shown, role: { text: shown } });
  }
});

test('a key or a client that is taken out of the registry ends its tokens at once', async (t) => {
  const { state, detailOf, peek } = setup();
  const token = String((await ownToken(state.registry)).body['access_token']);
  t.equal(await detailOf(token), 'epr');
  state.registry = withEpr({
    jwks: { keys: [newKeys.publicJwk, keys.publicJwk].map((key, n) => ({ ...key, kid: `n${n}` })) },
  });
  t.equal(await detailOf(token), 'epr', 'the key is there still, under another kid');
  state.registry = withEpr({ jwks: { keys: [newKeys.publicJwk] } });
  t.equal(peek(`Bearer ${token}`), undefined);
  t.equal(await detailOf(token), 'client-key', 'another key has its kid');
  const newer = String((await ownToken(state.registry, iua, { client: newKeys })).body['access_token']);
  t.equal(await detailOf(newer), 'epr');
  state.registry = withEpr({ clientId: 'epr-2', jwks: { keys: [newKeys.publicJwk] } });
  t.equal(await detailOf(newer), 'unknown-client');
  const trusted = await sign(supplier, {});
  state.registry = withEpr({});
  t.equal(await detailOf(trusted), 'epr');
  state.registry = withEpr({ issuers: [council.issuer] });
  t.equal(peek(`Bearer ${trusted}`), undefined);
  t.equal(await detailOf(trusted), 'issuer-of-client', 'and so does an issuer that it no longer names');
});

test('a certificate-bound token is good on connections with its certificate only', async (t) => {
  const { state, detailOf, peek } = setup();
  const [mine, others] = ['A'.repeat(43), 'B'.repeat(43)];
  const bound = String((await ownToken(state.registry, iua, { certificate: mine })).body['access_token']);
  t.equal(await detailOf(bound, mine), 'epr');
  t.equal(await detailOf(bound, others), 'certificate', 'also when it is cached');
  t.equal(await detailOf(bound), 'certificate');
  t.equal(
    peek(`Bearer ${bound}`, () => others),
    undefined,
  );
  t.equal(await detailOf(await sign(supplier, { cnf: { 'x5t#S256': mine } }), mine), 'epr', 'of a trusted issuer');
  t.equal(await detailOf(await sign(supplier, { cnf: { 'x5t#S256': mine } })), 'certificate');
  for (const cnf of [{ jkt: mine }, { 'x5t#S256': mine, jkt: mine }, { 'x5t#S256': '' }, {}, null, [], mine]) {
    t.equal(await detailOf(await sign(supplier, { cnf }), mine), 'cnf', JSON.stringify(cnf));
  }
  const free = String((await ownToken(state.registry)).body['access_token']);
  t.equal(await detailOf(free, mine), 'epr', 'unless the client demands it, a token may be unbound');
  state.registry = withEpr({ certificateBoundTokens: true });
  t.equal(await detailOf(free, mine), 'certificate');
  t.equal(await detailOf(await sign(supplier, {}), mine), 'certificate');
  t.equal(await detailOf(bound, mine), 'epr');
  t.match(await ownToken(state.registry), { status: 400, body: { error: 'invalid_request' }, reason: 'certificate' });
});
