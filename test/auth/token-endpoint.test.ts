import { createHmac, createPublicKey } from 'node:crypto';
import { subscribe } from 'node:diagnostics_channel';
import { decodeJwt, decodeProtectedHeader, jwtVerify } from 'jose';
import { test } from 'tap';
import { buildTokenRequest, clientAssertionType } from '../../src/auth/client-assertion.ts';
import { buildServerUrls } from '../../src/auth/server-urls.ts';
import { openSigningKey } from '../../src/auth/signing-key.ts';
import { issueToken, type TokenRequestContext, type TokenResponse } from '../../src/auth/token-endpoint.ts';
import { parseRegistry } from '../../src/registry/parse-registry.ts';
import { openSqliteStore } from '../../src/store/sqlite/open-sqlite-store.ts';
import type { Store } from '../../src/store/store.ts';
import { forgeJwt, makeClientKeys, makeTokenRequest, signerOf } from '../support/keys.ts';

const nowMs = Date.UTC(2026, 0, 2, 12, 0, 0);
const now = nowMs / 1000;
const urls = buildServerUrls('https://cpis.example.org/FHIR/R4', '/FHIR/R4');
const [ec, rsa384, rsa512, other] = await Promise.all([
  makeClientKeys('ec-1'),
  makeClientKeys('rsa-1', 'RS384'),
  makeClientKeys('rsa-2', 'RS512'),
  makeClientKeys('ec-1'),
]);
const registry = parseRegistry(
  {
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
      { kind: 'care-provider', name: 'Hospital', odsCode: 'ZZH01' },
    ],
    clients: [
      {
        clientId: 'epr',
        organisation: 'ZZH01',
        role: 'care-provider',
        jwks: { keys: [ec.publicJwk, rsa384.publicJwk, rsa512.publicJwk] },
        scopes: ['system/Flag.rs', 'system/AuditEvent.rs', 'system/Patient.r'],
      },
      {
        clientId: 'case-system',
        organisation: 'E99000001',
        role: 'authority',
        jwks: { keys: [other.publicJwk] },
        scopes: ['system/*.cruds'],
      },
    ],
  },
  1,
);
const iua = {
  subject_name: 'Dr Synthetic Example',
  subject_role: { system: 'https://fhir.hl7.org.uk/CodeSystem/UKCore-SDSJobRoleName', code: 'R0260', display: 'Nurse' },
  subject_organization: 'Hospital',
  subject_organization_id: 'ZZH01',
};
const header = { alg: 'ES384', kid: 'ec-1', typ: 'JWT' };
const claims = {
  iss: 'epr',
  sub: 'epr',
  aud: urls.tokenUrl,
  iat: now,
  exp: now + 300,
  jti: 'replaced by each request',
  extensions: { ihe_iua: iua },
};
const ecSign = signerOf(ec.privateJwk, 'ES384');

let sockets = 0;
subscribe('net.client.socket', () => {
  sockets++;
});
globalThis.fetch = () => Promise.reject(new Error('no fetch is allowed here'));

test('token endpoint', async (t) => {
  const folder = t.testdir({});
  let store: Store = await openSqliteStore({ folder, onFatal: (error) => t.fail(error.message) });
  t.teardown(() => store.close());
  const signingKey = await openSigningKey(`${folder}/signing-key.json`);
  const context = (): TokenRequestContext => ({ nowMs, registry, store, signingKey, urls, lifetimeS: 300 });
  let serial = 0;
  const text = (change: object) => JSON.stringify({ ...claims, jti: `jti-${serial++}`, ...change });
  const ask = (assertion: string, scope = 'system/Flag.rs'): Promise<TokenResponse> =>
    issueToken(buildTokenRequest(assertion, scope), context());
  const signed = (headerChange: object, claimsChange: object, sign: (input: string) => Buffer | string = ecSign) =>
    forgeJwt(JSON.stringify({ ...header, ...headerChange }), text(claimsChange), sign);

  await t.test('issues a short-lived ES256 token (RFC 9068) for each registered key and algorithm', async (t) => {
    for (const keys of [ec, rsa384, rsa512]) {
      const form = await makeTokenRequest(
        { clientId: 'epr', keys, iua },
        urls.tokenUrl,
        'system/Flag.rs system/Patient.cruds system/Subscription.rs',
        nowMs,
      );
      const answer = await issueToken(form, context());
      t.equal(answer.status, 200);
      t.match(answer.headers, { 'Cache-Control': 'no-store', 'Content-Type': /json/ });
      t.match(answer.body, { token_type: 'Bearer', expires_in: 300, scope: 'system/Flag.rs system/Patient.r' });
      const token = String(answer.body['access_token']);
      await jwtVerify(token, signingKey.publicKey, { algorithms: ['ES256'], currentDate: new Date(nowMs) });
      t.strictSame(decodeProtectedHeader(token), { alg: 'ES256', kid: signingKey.kid, typ: 'at+jwt' });
      t.match(decodeJwt(token), {
        iss: 'https://cpis.example.org',
        sub: 'epr',
        client_id: 'epr',
        aud: urls.baseUrl,
        iat: now,
        exp: now + 300,
        jti: /^[0-9a-f-]{36}$/,
        scope: 'system/Flag.rs system/Patient.r',
        extensions: { ihe_iua: iua },
      });
    }
  });

  await t.test('an authority needs no professional', async (t) => {
    const form = await makeTokenRequest(
      { clientId: 'case-system', keys: other },
      urls.tokenUrl,
      'system/*.read',
      nowMs,
    );
    const answer = await issueToken(form, context());
    t.match(answer, { status: 200, body: { scope: 'system/*.rs' } });
    t.notOk('extensions' in decodeJwt(String(answer.body['access_token'])));
  });

  await t.test(
    'accepts the baseline of the forged assertions, so that each attack fails for its own reason',
    async (t) => {
      t.match(await ask(signed({}, {})), { status: 200 });
      t.match(await ask(signed({ typ: 'jwt' }, {})), { status: 200 }, 'typ in any case');
      t.match(await ask(signed({}, { aud: [urls.tokenUrl] })), { status: 200 }, 'one audience in an array');
      t.match(await ask(signed({}, { iat: undefined })), { status: 200 }, 'iat is not required');
      t.match(
        await ask(signed({}, { iat: now + 9, nbf: now + 9, exp: now + 309 })),
        { status: 200 },
        'inside the leeway',
      );
      t.match(await ask(signed({}, { iat: now - 60, exp: now - 9 })), { status: 200 }, 'inside the leeway');
    },
  );

  await t.test('a refusal takes one verification, whether or not the client and its key are registered', async (t) => {
    const { subtle } = globalThis.crypto;
    const verify = subtle.verify.bind(subtle);
    let verifications = 0;
    subtle.verify = (...given: Parameters<typeof verify>) => {
      verifications += 1;
      return verify(...given);
    };
    t.teardown(() => {
      subtle.verify = verify;
    });
    const forged = (headerChange: object, claimsChange: object) =>
      signed(headerChange, claimsChange, () => Buffer.alloc(96, 1));
    const cases: readonly (readonly [string, string | undefined, object, object])[] = [
      ['signature', 'epr', {}, {}],
      ['unknown-client', undefined, {}, { iss: 'nobody', sub: 'nobody' }],
      ['no-key', 'epr', { kid: 'nothing' }, {}],
      ['signature', 'epr', { alg: 'RS384', kid: 'rsa-1' }, {}],
      ['unknown-client', undefined, { alg: 'RS384', kid: 'rsa-1' }, { iss: 'nobody', sub: 'nobody' }],
      ['no-key', 'epr', { alg: 'RS512', kid: 'nothing' }, {}],
    ];
    for (const [reason, clientId, headerChange, claimsChange] of cases) {
      verifications = 0;
      const answer = await ask(forged(headerChange, claimsChange));
      t.match(answer, { status: 401, reason });
      t.equal(answer.clientId, clientId, 'the log names registered clients only');
      t.equal(verifications, 1, `${reason}: ${JSON.stringify(headerChange)}`);
    }
  });

  await t.test('cases 37 and 38: every forged assertion gets the same 401, and nothing is fetched', async (t) => {
    const pem = createPublicKey({ key: { ...ec.publicJwk }, format: 'jwk' }).export({ type: 'spki', format: 'pem' });
    const rsaPem = createPublicKey({ key: { ...rsa384.publicJwk }, format: 'jwk' }).export({
      type: 'spki',
      format: 'pem',
    });
    const hmac = (key: string | Buffer) => (input: string) => createHmac('sha256', key).update(input).digest();
    const empty = () => '';
    const claimsText = text({});
    const raw = (headerJson: string, claimsJson: string) => forgeJwt(headerJson, claimsJson, ecSign);
    const headerJson = JSON.stringify(header);
    const [goodHeader = '', goodClaims = '', goodSignature = ''] = signed({}, {}).split('.');
    const attacks: Readonly<Record<string, string>> = {
      'alg none': signed({ alg: 'none' }, {}, empty),
      'alg None': signed({ alg: 'None' }, {}, empty),
      'alg nOnE': signed({ alg: 'nOnE' }, {}, empty),
      'alg none, signed': signed({ alg: 'none' }, {}),
      'alg missing': signed({ alg: undefined }, {}),
      'alg not a string': signed({ alg: ['ES384'] }, {}),
      'HS256 keyed by the EC PEM': signed({ alg: 'HS256' }, {}, hmac(pem)),
      'HS256 keyed by the RSA PEM': signed({ alg: 'HS256', kid: 'rsa-1' }, {}, hmac(rsaPem)),
      'HS256 keyed by x': signed({ alg: 'HS256' }, {}, hmac(Buffer.from(ec.publicJwk.x ?? '', 'base64url'))),
      'empty signature': signed({}, {}, empty),
      'ES384 r = s = 0': signed({}, {}, () => Buffer.alloc(96)),
      'ES384 r = s = order of the group': signed({}, {}, () =>
        Buffer.from(
          'ffffffffffffffffffffffffffffffffffffffffffffffffc7634d81f4372ddf581a0db248b0a77aecec196accc52973'.repeat(2),
          'hex',
        ),
      ),
      'signature of another key with the same kid': signed({}, {}, signerOf(other.privateJwk, 'ES384')),
      'signature of other claims': `${goodHeader}.${signed({}, {}).split('.')[1]}.${goodSignature}`,
      'ES256 in the header': signed({ alg: 'ES256' }, {}),
      'RS512 with the RS384 key': signed({ alg: 'RS512', kid: 'rsa-1' }, {}, signerOf(rsa384.privateJwk, 'RS512')),
      'RS256 with the RS384 key': signed({ alg: 'RS256', kid: 'rsa-1' }, {}, signerOf(rsa384.privateJwk, 'RS256')),
      'RS384 with the RS512 key': signed({ alg: 'RS384', kid: 'rsa-2' }, {}, signerOf(rsa512.privateJwk, 'RS384')),
      crit: signed({ crit: ['exp'] }, {}),
      'crit unknown': signed({ crit: ['x'], x: 1 }, {}),
      'b64 false': signed({ b64: false, crit: ['b64'] }, {}),
      'b64 false without crit': signed({ b64: false }, {}),
      'jwk of the attacker': signed({ jwk: other.publicJwk }, {}, signerOf(other.privateJwk, 'ES384')),
      'jwk beside a good signature': signed({ jwk: ec.publicJwk }, {}),
      jku: signed({ jku: 'https://127.0.0.1:1/jwks' }, {}),
      x5u: signed({ x5u: 'https://127.0.0.1:1/cert' }, {}),
      x5c: signed({ x5c: ['AAAA'] }, {}),
      zip: signed({ zip: 'DEF' }, {}),
      nested: signed({ cty: 'JWT' }, {}),
      'kid path': signed({ kid: '../../dev/null' }, {}),
      'kid SQL': signed({ kid: "' OR 1" }, {}),
      'kid __proto__': signed({ kid: '__proto__' }, {}),
      'kid constructor': signed({ kid: 'constructor' }, {}),
      'kid of 10 KB': signed({ kid: 'k'.repeat(10_240) }, {}),
      'kid missing': signed({ kid: undefined }, {}),
      'kid empty': signed({ kid: '' }, {}),
      'kid not a string': signed({ kid: ['ec-1'] }, {}),
      'kid of another client only': signed({ kid: 'case-1' }, {}),
      'kid twice': raw('{"alg":"ES384","kid":"other","kid":"ec-1","typ":"JWT"}', claimsText),
      'alg twice, once escaped': raw('{"alg":"none","\\u0061lg":"ES384","kid":"ec-1","typ":"JWT"}', claimsText),
      '__proto__ in the header': raw('{"alg":"ES384","kid":"ec-1","typ":"JWT","__proto__":{}}', claimsText),
      'iss twice': raw(headerJson, claimsText.replace('{', '{"iss":"case-system",')),
      'exp twice': raw(headerJson, claimsText.replace('{', `{"exp":${now - 100},`)),
      '__proto__ in the claims': raw(headerJson, claimsText.replace('{', '{"__proto__":{"jti":"x"},')),
      'claims not an object': raw(headerJson, '[]'),
      'claims null': raw(headerJson, 'null'),
      'claims not UTF-8': `${goodHeader}.${Buffer.from([0x7b, 0xff, 0x7d]).toString('base64url')}.${goodSignature}`,
      'exp missing': signed({}, { exp: undefined }),
      'exp text': signed({}, { exp: String(now + 60) }),
      'exp 1e300': raw(headerJson, text({}).replace(String(now + 300), '1e300')),
      'exp null': signed({}, { exp: null }),
      'exp beyond five minutes and the leeway': signed({}, { exp: now + 311 }),
      'exp in ten years': signed({}, { exp: now + 315_360_000 }),
      'expired beyond the leeway': signed({}, { iat: now - 60, exp: now - 10 }),
      'iat in the future': signed({}, { iat: now + 11 }),
      'iat text': signed({}, { iat: String(now) }),
      'nbf in the future': signed({}, { nbf: now + 11 }),
      'nbf text': signed({}, { nbf: 'now' }),
      'aud of another server': signed({}, { aud: 'https://other.example.org/oauth2/token' }),
      'aud with another server': signed({}, { aud: [urls.tokenUrl, 'https://other.example.org/oauth2/token'] }),
      'aud the FHIR base': signed({}, { aud: urls.baseUrl }),
      'aud the issuer': signed({}, { aud: urls.issuer }),
      'aud with a slash': signed({}, { aud: `${urls.tokenUrl}/` }),
      'aud empty array': signed({}, { aud: [] }),
      'aud nested': signed({}, { aud: [[urls.tokenUrl]] }),
      'aud missing': signed({}, { aud: undefined }),
      'iss is not sub': signed({}, { sub: 'case-system' }),
      'sub missing': signed({}, { sub: undefined }),
      'iss of another client': signed({}, { iss: 'case-system', sub: 'case-system' }),
      'iss unknown': signed({}, { iss: 'nobody', sub: 'nobody' }),
      'iss __proto__': signed({}, { iss: '__proto__', sub: '__proto__' }),
      'iss array': signed({}, { iss: ['epr'], sub: ['epr'] }),
      'iss missing': signed({}, { iss: undefined, sub: undefined }),
      'jti missing': signed({}, { jti: undefined }),
      'jti empty': signed({}, { jti: '' }),
      'jti number': signed({}, { jti: 7 }),
      'jti of 129': signed({}, { jti: 'j'.repeat(129) }),
      'typ missing': signed({ typ: undefined }, {}),
      'typ of a DPoP proof': signed({ typ: 'dpop+jwt' }, {}),
      'typ of an access token': signed({ typ: 'at+jwt' }, {}),
      'two parts': `${goodHeader}.${goodClaims}`,
      'four parts': `${goodHeader}.${goodClaims}.${goodSignature}.${goodSignature}`,
      'JWE of five parts': `${goodHeader}.a.b.c.d`,
      'JSON serialisation': JSON.stringify({ payload: goodClaims, protected: goodHeader, signature: goodSignature }),
      padded: `${goodHeader}.${goodClaims}.${goodSignature}==`,
      'white space': ` ${goodHeader}.${goodClaims}.${goodSignature}`,
      'base64 instead of base64url': `${goodHeader}+.${goodClaims}.${goodSignature}`,
      'over-long': signed({}, { x: 'x'.repeat(9000) }),
      empty: '',
    };
    const socketsBefore = sockets;
    const bodies = new Set<string>();
    for (const [name, assertion] of Object.entries(attacks)) {
      const answer = await ask(assertion);
      t.equal(answer.status, 401, `${name}: ${answer.reason}`);
      t.equal(answer.body['error'], 'invalid_client', name);
      bodies.add(JSON.stringify([answer.headers, answer.body]));
    }
    t.equal(bodies.size, 1, 'an unknown client, an unknown key and a bad signature look the same');
    t.equal(sockets, socketsBefore, 'no connection was made');
    t.equal(({} as Record<string, unknown>)['jti'], undefined, 'no prototype was changed');
  });

  await t.test(
    'case 39: a jti is good once: at once, later, after a restart; and for each client on its own',
    async (t) => {
      const assertion = signed({}, { jti: 'only-once' });
      const answers = await Promise.all(Array.from({ length: 20 }, () => ask(assertion)));
      t.equal(answers.filter(({ status }) => status === 200).length, 1);
      t.equal(answers.filter(({ status, reason }) => status === 401 && reason === 'replayed').length, 19);
      t.match(
        await ask(signed({}, { jti: 'only-once', exp: now + 200 })),
        { status: 401 },
        'same jti, another assertion',
      );
      await store.close();
      store = await openSqliteStore({ folder, onFatal: (error) => t.fail(error.message) });
      t.match(await ask(assertion), { status: 401, reason: 'replayed' });
      const elsewhere = forgeJwt(
        JSON.stringify(header),
        text({ iss: 'case-system', sub: 'case-system', jti: 'only-once', extensions: undefined }),
        signerOf(other.privateJwk, 'ES384'),
      );
      t.match(await ask(elsewhere), { status: 200 }, 'the same jti of another client');
      const unsigned = signed({}, { jti: 'not-used-up' }, () => Buffer.alloc(96));
      t.match(await ask(unsigned), { status: 401 });
      t.match(await ask(signed({}, { jti: 'not-used-up' })), { status: 200 }, 'a forger cannot use up a jti');
    },
  );

  await t.test('case 39: issues no token if the store fails', async (t) => {
    const folder = t.testdir({});
    const lost = await openSqliteStore({ folder, onFatal: (error) => t.fail(error.message) });
    await lost.close();
    const answer = await issueToken(buildTokenRequest(signed({}, {}), 'system/Flag.rs'), { ...context(), store: lost });
    t.match(answer, { status: 503, body: { error: 'temporarily_unavailable' }, reason: 'store' });
    t.notOk('access_token' in answer.body);
  });

  await t.test('case 41: scopes', async (t) => {
    const rows: readonly (readonly [scope: string, granted: string | undefined])[] = [
      ['system/Flag.rs', 'system/Flag.rs'],
      ['system/Flag.r', 'system/Flag.r'],
      ['system/Flag.cruds', 'system/Flag.rs'],
      ['system/Flag.read', 'system/Flag.rs'],
      ['system/Flag.*', 'system/Flag.rs'],
      ['system/*.rs', 'system/AuditEvent.rs system/Flag.rs system/Patient.r'],
      ['system/*.s', 'system/AuditEvent.s system/Flag.s'],
      ['system/Flag.r system/Flag.s', 'system/Flag.rs'],
      ['system/Flag.write', undefined],
      ['system/Subscription.rs', undefined],
      ['system/Flag.sr', undefined],
      ['system/Flag.rrs', undefined],
      ['system/Flag.', undefined],
      ['system/Flag', undefined],
      ['system/flag.rs', undefined],
      ['System/Flag.rs', undefined],
      ['patient/Flag.rs', undefined],
      ['user/*.rs', undefined],
      ['system/Flag.rs patient/Flag.rs', undefined],
      ['system/Flag.rs?category=x', undefined],
      ['openid', undefined],
      ['', undefined],
      [' ', undefined],
      ['system/Flag.rs '.repeat(300), undefined],
    ];
    for (const [scope, granted] of rows) {
      const answer = await ask(signed({}, {}), scope);
      if (granted === undefined) t.match(answer, { status: 400, body: { error: 'invalid_scope' } }, scope);
      else t.match(answer, { status: 200, body: { scope: granted } }, scope);
    }
  });

  await t.test('a care provider must name its professional', async (t) => {
    const withIua = (change: object) => signed({}, { extensions: { ihe_iua: { ...iua, ...change } } });
    const good: readonly object[] = [
      { subject_role: 'Nurse' },
      { subject_role: [iua.subject_role] },
      { subject_role: { code: 'R0260' } },
      { subject_organization_id: ['ZZH01'] },
      { subject_organization_id: 'https://fhir.nhs.uk/Id/ods-organization-code|ZZH01' },
      { subject_id: 'https://fhir.nhs.uk/Id/sds-user-id|555021935107' },
      { subject_id: '555021935107' },
      { purpose_of_use: 'ignored' },
    ];
    for (const change of good) t.match(await ask(withIua(change)), { status: 200 }, JSON.stringify(change));
    const bad: readonly string[] = [
      signed({}, { extensions: undefined }),
      signed({}, { extensions: {} }),
      signed({}, { extensions: 'ihe_iua' }),
      signed({}, { extensions: { ihe_iua: [] } }),
      ...[
        { subject_name: undefined },
        { subject_name: '' },
        { subject_name: ' ' },
        { subject_name: 'x'.repeat(201) },
        { subject_name: 'Dr\r\nX' },
        { subject_name: 'Dr \u202eX' },
        { subject_name: ['Dr'] },
        { subject_role: undefined },
        { subject_role: [] },
        { subject_role: [[['Nurse']]] },
        { subject_role: { display: 'Nurse' } },
        { subject_role: { code: 'x', system: 7 } },
        { subject_organization: undefined },
        { subject_organization_id: undefined },
        { subject_organization_id: 'ZZH02' },
        { subject_organization_id: 'zzh01' },
        { subject_organization_id: ['ZZH01', 'ZZH02'] },
        { subject_organization_id: 'https://elsewhere.example.org|ZZH01' },
        { subject_id: '' },
        { subject_id: '|x' },
        { subject_id: 7 },
      ].map(withIua),
    ];
    for (const assertion of bad) {
      t.match(await ask(assertion), { status: 400, body: { error: 'invalid_grant' }, reason: 'iua' });
    }
  });

  await t.test('checks the form', async (t) => {
    const form = (change: Readonly<Record<string, string | undefined>>): string => {
      const parameters = new URLSearchParams(buildTokenRequest(signed({}, {}), 'system/Flag.rs'));
      for (const [name, value] of Object.entries(change)) {
        if (value === undefined) parameters.delete(name);
        else parameters.set(name, value);
      }
      return parameters.toString();
    };
    const rows: readonly (readonly [body: string, status: number, error: string | undefined])[] = [
      [form({}), 200, undefined],
      [form({ client_id: 'epr' }), 200, undefined],
      [form({ resource: 'ignored' }), 200, undefined],
      [form({ grant_type: undefined }), 400, 'invalid_request'],
      [form({ grant_type: 'authorization_code' }), 400, 'unsupported_grant_type'],
      [form({ scope: undefined }), 400, 'invalid_scope'],
      [form({ client_assertion: undefined }), 401, 'invalid_client'],
      [form({ client_assertion_type: undefined }), 401, 'invalid_client'],
      [form({ client_assertion_type: `${clientAssertionType}2` }), 401, 'invalid_client'],
      [form({ client_secret: 'x' }), 401, 'invalid_client'],
      [form({ client_id: 'case-system' }), 401, 'invalid_client'],
      [`${form({})}&scope=system/Flag.r`, 400, 'invalid_request'],
      [`${form({})}&grant_type=client_credentials`, 400, 'invalid_request'],
      [`${form({})}&client_assertion=x`, 400, 'invalid_request'],
      ['', 400, 'invalid_request'],
      ['__proto__=x&constructor=y', 400, 'invalid_request'],
    ];
    for (const [body, status, error] of rows) {
      const answer = await issueToken(new URLSearchParams(body), context());
      t.equal(answer.status, status, `${error} ${answer.reason}`);
      t.equal(answer.body['error'], error);
      t.notMatch(JSON.stringify(answer.status === 200 ? {} : answer.body), /epr|case-system/, 'repeats nothing');
    }
  });
});
