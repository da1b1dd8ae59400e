import { generateKeyPairSync } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { test } from 'tap';
import { parseScope } from '../../src/auth/smart-scope.ts';
import { buildOrganization } from '../../src/registry/build-organization.ts';
import { openRegistry } from '../../src/registry/open-registry.ts';
import { parseRegistry, RegistryError } from '../../src/registry/parse-registry.ts';
import { registeredScopePattern } from '../../src/registry/registry-schema.ts';
import { makeClientKeys } from '../support/keys.ts';

const sampleFile = new URL('../../registry.sample.json', import.meta.url);
const sample = JSON.parse(readFileSync(sampleFile, 'utf8'));
const { publicJwk, privateJwk } = await makeClientKeys('k1');

const authority = {
  kind: 'local-authority',
  name: 'Northmoor',
  odsCode: 'ZZL01',
  gssCode: 'E99000001',
  dfeCode: '991',
  officeHoursTelephone: '01632 960010',
  emergencyDutyTeamTelephone: '+44 1632 960019',
};
const hospital = { kind: 'care-provider', name: 'Hospital', odsCode: 'ZZH01' };
const client = {
  clientId: 'case-system',
  organisation: 'E99000001',
  role: 'authority',
  jwks: { keys: [publicJwk] },
  scopes: ['system/Flag.cruds'],
  subscriptionOrigins: ['https://la.example.org:8443'],
};
const epr = {
  clientId: 'epr',
  organisation: 'ZZH01',
  role: 'care-provider',
  jwks: { keys: [publicJwk] },
  scopes: ['system/Flag.rs'],
};
const good = { organisations: [authority, hospital], clients: [client, epr] };

function problemsOf(json: unknown): readonly string[] {
  try {
    parseRegistry(json, 1);
  } catch (error) {
    if (error instanceof RegistryError) return error.problems;
    throw error;
  }
  return [];
}

function rsaJwk(bits: number) {
  const { publicKey } = generateKeyPairSync('rsa', { modulusLength: bits });
  return { ...publicKey.export({ format: 'jwk' }), kid: 'rsa', alg: 'RS384' };
}

test('the sample file is valid and gives a complete snapshot', async (t) => {
  t.strictSame(problemsOf(sample), []);
  const input = structuredClone(good);
  const registry = parseRegistry(input, 7);
  t.strictSame(input, good, 'the input is not changed');
  t.equal(registry.revision, 7);
  t.strictSame([...registry.organisations.keys()], ['E99000001', 'ZZH01']);
  t.strictSame([...registry.authorities.values()], [{ ...authority, id: 'E99000001' }]);
  t.match(registry.clients.get('case-system'), {
    organisation: { id: 'E99000001' },
    silentReads: false,
    notificationMethod: 'PUT',
    subscriptionOrigins: ['https://la.example.org:8443'],
  });
  t.match(registry.clients.get('epr'), { organisation: { ...hospital, id: 'ZZH01' }, subscriptionOrigins: [] });
});

test('names the place of each problem', async (t) => {
  const withAuthority = (change: object) => ({ ...good, organisations: [{ ...authority, ...change }, hospital] });
  const withClient = (change: object) => ({ ...good, clients: [{ ...client, ...change }, epr] });
  const withKey = (key: object) => withClient({ jwks: { keys: [{ ...key }] } });
  const ecP256 = generateKeyPairSync('ec', { namedCurve: 'P-256' }).publicKey.export({ format: 'jwk' });
  const rows: readonly (readonly [unknown, RegExp])[] = [
    [null, /^the document: must be an object$/],
    [{}, /^organisations: is required$/],
    [{ ...good, cleints: [] }, /^cleints: is not known; did you mean clients\?$/],
    [withAuthority({ kind: 'council' }), /^organisations\[0\]: has an unknown or missing kind$/],
    [withAuthority({ gssCode: 'W06000001' }), /^organisations\[0\]\.gssCode: must be a GSS code/],
    [withAuthority({ gssCode: 'E0600001' }), /^organisations\[0\]\.gssCode: must be a GSS code/],
    [withAuthority({ dfeCode: '99' }), /^organisations\[0\]\.dfeCode: must be a DfE code/],
    [withAuthority({ odsCode: 'zz' }), /^organisations\[0\]\.odsCode: must be an ODS code/],
    [withAuthority({ name: 'North\u0007moor' }), /^organisations\[0\]\.name: must be a name/],
    [withAuthority({ name: ' ' }), /^organisations\[0\]\.name: must be a name/],
    [withAuthority({ officeHoursTelephone: 'ask inside' }), /officeHoursTelephone: must be a telephone number/],
    [withAuthority({ officeHoursTelephone: '0163' }), /officeHoursTelephone: must be a telephone number/],
    [withAuthority({ id: 'northmoor' }), /^organisations\[0\]\.id: must be the GSS or ODS code/],
    [{ ...good, organisations: [{ ...authority, emergencyDutyTeamTelephone: undefined }, hospital] }, /emergencyDuty/],
    [
      { ...good, organisations: [authority, hospital, hospital] },
      /^organisations\[2\]\.odsCode: must be unique; another entry has this value$/,
    ],
    [
      { ...good, organisations: [authority, { ...hospital, odsCode: 'ZZL01' }] },
      /\[1\]\.odsCode: must be unique; another entry has this value$/,
    ],
    [
      { ...good, organisations: [authority, hospital, { ...authority, odsCode: 'ZZL02', dfeCode: '992' }] },
      /^organisations\[2\]\.gssCode: must be unique; another entry has this value$/,
    ],
    [{ ...good, clients: [client, client] }, /^clients\[1\]\.clientId: must be unique; another entry has this value$/],
    [withClient({ organisation: 'E99000009' }), /^clients\[0\]\.organisation: no organisation/],
    [withClient({ role: 'care-provider' }), /^clients\[0\]\.role: does not match the organisation/],
    [withClient({ role: 'operator' }), /^clients\[0\]\.role: does not match the organisation/],
    [withClient({ role: 'admin' }), /^clients\[0\]\.role: must be one of authority, care-provider, operator, auditor$/],
    [withClient({ clientId: 'a b' }), /^clients\[0\]\.clientId: must be 1 to 128/],
    [withClient({ scopes: [] }), /^clients\[0\]\.scopes: must have at least 1 entry$/],
    [withClient({ scopes: ['patient/Flag.rs'] }), /^clients\[0\]\.scopes\[0\]: must be a SMART scope/],
    [withClient({ scopes: ['system/Flag.sr'] }), /^clients\[0\]\.scopes\[0\]: must be a SMART scope/],
    [withClient({ silentReads: true }), /^clients\[0\]\.silentReads: only a care provider/],
    [withClient({ notificationMethod: 'PATCH' }), /^clients\[0\]\.notificationMethod: must be one of PUT, POST$/],
    ...[
      'https://la.example.org/',
      'https://LA.example.org',
      'https://la.example.org:443',
      'https://u@la.example.org',
      'http://la.example.org',
      'http://127.0.0.1:80',
      'la.example.org',
      'https://la.example.org/x',
      'null',
    ].map(
      (origin) =>
        [withClient({ subscriptionOrigins: [origin] }), /subscriptionOrigins\[0\]: must be an exact origin/] as const,
    ),
    [{ ...good, clients: [{ ...epr, subscriptionOrigins: ['https://x.example.org'] }] }, /only an authority can have/],
    [withClient({ jwks: { keys: [] } }), /^clients\[0\]\.jwks\.keys: must have at least 1 entry$/],
    [
      withClient({ jwks: { keys: [publicJwk, publicJwk] } }),
      /^clients\[0\]\.jwks\.keys\[1\]\.kid: must be unique; another key of the client has this value$/,
    ],
    [withKey(privateJwk), /^clients\[0\]\.jwks\.keys\[0\]: holds a private or symmetric key/],
    [withKey({ kty: 'oct', k: 'AAAA', kid: 'k', alg: 'HS256' }), /keys\[0\]\.kty: must be one of RSA, EC$/],
    [withKey({ ...publicJwk, k: 'AAAA' }), /^clients\[0\]\.jwks\.keys\[0\]: holds a private or symmetric key/],
    [withKey({ ...publicJwk, alg: undefined }), /keys\[0\]\.alg: is required$/],
    [withKey({ ...publicJwk, alg: 'RS256' }), /keys\[0\]\.alg: must be one of RS384, ES384, RS512$/],
    [withKey({ ...publicJwk, alg: 'RS384' }), /keys\[0\]: has an alg that does not match its kty$/],
    [withKey({ ...ecP256, kid: 'k', alg: 'ES384' }), /keys\[0\]: must use the curve P-384/],
    [withKey({ ...publicJwk, use: 'enc' }), /keys\[0\]\.use: must be one of sig$/],
    [withKey({ ...publicJwk, key_ops: ['sign'] }), /keys\[0\]: must have no key_ops other than verify$/],
    [withKey({ ...publicJwk, kid: 'k\n' }), /keys\[0\]\.kid: must be 1 to 128/],
    [withKey({ ...publicJwk, x: publicJwk.y }), /keys\[0\]: is not a readable public key$/],
    [withKey(rsaJwk(1024)), /keys\[0\]: must be an RSA key of at least 2048 bits$/],
  ];
  for (const [json, expected] of rows) {
    const problems = problemsOf(json);
    t.ok(
      problems.some((problem) => expected.test(problem)),
      `${expected} <- ${problems.join(' & ')}`,
    );
  }
  t.strictSame(problemsOf(withKey(rsaJwk(2048))), []);
});

test('lists all problems at once', async (t) => {
  const bad = {
    organisations: [authority, authority],
    clients: [{ ...client, role: 'operator', silentReads: true, jwks: { keys: [privateJwk, privateJwk] } }],
  };
  t.strictSame(problemsOf(bad).length, 9);
  t.throws(() => parseRegistry(bad, 1), { name: 'RegistryError', message: /- clients\[0\]\.role/ });
});

test('accepts loopback origins only with the setting', async (t) => {
  const json = { ...good, clients: [{ ...client, subscriptionOrigins: ['http://127.0.0.1:4711'] }] };
  t.equal(parseRegistry(json, 1, { allowLoopback: true }).clients.size, 1);
  t.throws(() => parseRegistry(json, 1));
});

test('a reload takes a valid file and keeps the old snapshot if the file has problems', async (t) => {
  const file = join(t.testdir({ 'registry.json': JSON.stringify(good) }), 'registry.json');
  const reloaded: number[] = [];
  const holder = openRegistry(file, { nowMs: () => 1000, onReload: ({ revision }) => reloaded.push(revision) });
  const first = holder.current;
  t.equal(first.revision, 1000);
  const bad: readonly (readonly [string, RegExp])[] = [
    ['{', /^The JSON is not valid: .*\(line 1, column \d+\)\.$/],
    [JSON.stringify({ ...good, clients: [{ ...client, role: 'x' }] }), /^clients\[0\]\.role/],
    [JSON.stringify({ organisations: [hospital], clients: [epr] }), /^one is missing$/],
    [
      JSON.stringify(good).replace('"clients"', '"clients":[],"clients"'),
      /a property name occurs twice in one object \(line 1, column \d+\)/,
    ],
  ];
  for (const [text, expected] of bad) {
    writeFileSync(file, text);
    const problems = await holder.reload(async ({ authorities }) => (authorities.size === 0 ? ['one is missing'] : []));
    t.match(problems.join(), expected);
    t.equal(holder.current, first);
  }
  t.strictSame(reloaded, []);
  const renamed = { ...authority, name: 'Northmoor and Vale', officeHoursTelephone: '01632 960011' };
  writeFileSync(file, JSON.stringify({ organisations: [renamed, hospital], clients: [epr] }));
  t.strictSame(await holder.reload(async () => []), []);
  t.equal(holder.current.authorities.get('E99000001')?.name, 'Northmoor and Vale', 'it may change');
  t.equal(holder.current.revision, 1001, 'the revision grows even when the clock does not');
  t.strictSame([...holder.current.clients.keys()], ['epr']);
  t.strictSame(reloaded, [1001]);
  t.throws(() => openRegistry(join(file, '..', 'none.json'), { nowMs: () => 0 }), /the file does not exist/);
});

test('builds the Organization of a local authority and of a care provider', async (t) => {
  const registry = parseRegistry(good, Date.UTC(2026, 0, 2));
  const [la, other] = [...registry.organisations.values()].map((each) => buildOrganization(each, registry.revision));
  const edt = { system: 'phone', value: '+44 1632 960019', use: 'work' };
  const office = { system: 'phone', value: '01632 960010', use: 'work' };
  const purpose = (code: string, display: string) => ({
    coding: [{ system: 'https://cpis-fhir.example.org/fhir/CodeSystem/contact-purpose', code, display }],
  });
  t.strictSame(la, {
    resourceType: 'Organization',
    id: 'E99000001',
    meta: { versionId: '1767312000000', lastUpdated: '2026-01-02T00:00:00.000Z' },
    active: true,
    type: [
      {
        coding: [
          { system: 'http://terminology.hl7.org/CodeSystem/organization-type', code: 'govt', display: 'Government' },
        ],
        text: 'Local authority',
      },
    ],
    name: 'Northmoor',
    identifier: [
      { system: 'https://fhir.nhs.uk/Id/ods-organization-code', value: 'ZZL01' },
      { system: 'https://cpis-fhir.example.org/fhir/Id/gss-code', value: 'E99000001' },
      { system: 'https://cpis-fhir.example.org/fhir/Id/dfe-code', value: '991' },
    ],
    telecom: [
      { ...edt, rank: 1 },
      { ...office, rank: 2 },
    ],
    contact: [
      { purpose: purpose('emergency-duty-team', 'Emergency duty team'), telecom: [edt] },
      { purpose: purpose('office-hours', 'Office hours'), telecom: [office] },
    ],
  });
  t.match(other, { id: 'ZZH01', identifier: [{ value: 'ZZH01' }], name: 'Hospital' });
  t.notOk(other !== undefined && 'telecom' in other);
});

test('the registry accepts exactly the scopes that the scope parser knows', async (t) => {
  const pattern = new RegExp(registeredScopePattern, 'u');
  const part = fc.constantFrom(
    'system/',
    'patient/',
    'user/',
    'Flag',
    '*',
    '.',
    'c',
    'r',
    'u',
    'd',
    's',
    'read',
    'write',
    '?',
  );
  fc.assert(
    fc.property(fc.array(part, { maxLength: 9 }), (parts) => {
      const text = parts.join('');
      return pattern.test(text) === (parseScope(text) !== undefined);
    }),
  );
  for (const text of ['system/Flag.rs', 'system/*.cruds', 'system/Flag.read', 'system/Flag.*'])
    t.ok(pattern.test(text));
});
