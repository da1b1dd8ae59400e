import { generateKeyPairSync } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'tap';
import { loadSettings, resolvePublicBaseUrl, SettingsError } from '../../src/settings/settings.ts';
import { settingsSchema } from '../../src/settings/settings-schema.ts';
import { makeTempFolder } from '../support/temp-folder.ts';

type Env = Readonly<Record<string, string | undefined>>;

function problemsOf(env: Env, readText?: (path: string) => string): readonly string[] {
  try {
    loadSettings(env, readText);
  } catch (error) {
    if (error instanceof SettingsError) return error.problems;
    throw error;
  }
  return [];
}

const issuer = {
  issuer: 'https://id.example.org',
  jwksUrl: 'https://id.example.org/jwks',
  algorithms: ['RS512'],
  audience: 'https://cpis.example.org/FHIR/R4',
};

const tls = { CPIS_TLS_CERT_FILE: 'a.pem', CPIS_TLS_KEY_FILE: 'a.key' };

test('has defaults', async (t) => {
  const settings = loadSettings({ PATH: '/bin', HOME: '/root' });
  t.match(settings, {
    basePath: '/FHIR/R4',
    host: '127.0.0.1',
    port: 8080,
    publicBaseUrl: undefined,
    dataFolder: 'data',
    registryFile: 'registry.json',
    signingKeyFile: 'data/signing-key.json',
    trustedIssuers: [],
    tokenLifetimeS: 300,
    endedPlanVisibleDays: 365,
    allowLoopbackEndpoints: false,
    metricsToken: undefined,
  });
  for (const [name, value] of Object.entries(settings)) t.notOk(Number.isNaN(value), name);
  t.equal(resolvePublicBaseUrl(settings, 4711), 'http://127.0.0.1:4711/FHIR/R4');
  t.equal(resolvePublicBaseUrl(loadSettings(tls), 4711), 'https://127.0.0.1:4711/FHIR/R4');
  t.equal(resolvePublicBaseUrl(loadSettings({ CPIS_HOST: '::1' }), 80), 'http://[::1]:80/FHIR/R4');
});

test('reads values as their type', async (t) => {
  const settings = loadSettings({
    CPIS_BASE_PATH: '/cpis/FHIR/R4',
    CPIS_HOST: '0.0.0.0',
    CPIS_DANGEROUSLY_ALLOW_PLAIN_HTTP: 'true',
    CPIS_TRUSTED_PROXIES: '10.0.0.0/8,2001:db8::1',
    CPIS_FORWARDED_HEADER: 'forwarded',
    CPIS_PORT: '0',
    CPIS_PUBLIC_BASE_URL: 'https://cpis.example.org/cpis/FHIR/R4',
    CPIS_DATA_FOLDER: '/var/lib/cpis',
    CPIS_DANGEROUSLY_ALLOW_LOOPBACK_ENDPOINTS: 'true',
    CPIS_TRUSTED_ISSUERS: JSON.stringify([issuer]),
    CPIS_METRICS_TOKEN: 'a-metrics-token-of-length',
  });
  t.match(settings, {
    port: 0,
    trustedProxies: ['10.0.0.0/8', '2001:db8::1'],
    forwardedHeader: 'forwarded',
    tls: undefined,
    allowLoopbackEndpoints: true,
    signingKeyFile: '/var/lib/cpis/signing-key.json',
    metricsToken: 'a-metrics-token-of-length',
  });
  t.strictSame(settings.trustedIssuers, [issuer]);
  t.equal(resolvePublicBaseUrl(settings, 4711), 'https://cpis.example.org/cpis/FHIR/R4');
  const fromFile = loadSettings({ CPIS_TRUSTED_ISSUERS_FILE: 'issuers.json' }, () => JSON.stringify([issuer]));
  t.strictSame(fromFile.trustedIssuers, [issuer]);
});

test('describes each problem without its value', async (t) => {
  const rows: readonly (readonly [Env, RegExp])[] = [
    [{ CPIS_PORT: '8080x' }, /^CPIS_PORT: must be a whole number$/],
    [{ CPIS_PORT: ' 8080' }, /^CPIS_PORT: must be a whole number$/],
    [{ CPIS_PORT: '0x50' }, /^CPIS_PORT: must be a whole number$/],
    [{ CPIS_PORT: '1e3' }, /^CPIS_PORT: must be a whole number$/],
    [{ CPIS_PORT: '-1' }, /^CPIS_PORT: must be a whole number$/],
    [{ CPIS_PORT: '65536' }, /^CPIS_PORT: must be at most 65535$/],
    [{ CPIS_PORT: '' }, /^CPIS_PORT: is empty/],
    [{ CPIS_PROT: '8080' }, /^CPIS_PROT: is not known; did you mean CPIS_PORT\?$/],
    [{ CPIS_WHATEVER_ELSE_THIS_IS: '1' }, /^CPIS_WHATEVER_ELSE_THIS_IS: is not known$/],
    [{ CPIS_TOKEN_LIFETIME_S: '301' }, /^CPIS_TOKEN_LIFETIME_S: must be at most 300$/],
    [{ CPIS_DANGEROUSLY_ALLOW_LOOPBACK_ENDPOINTS: 'yes' }, /LOOPBACK_ENDPOINTS: must be true or false$/],
    [{ CPIS_LOG_LEVEL: 'loud' }, /^CPIS_LOG_LEVEL: must be one of fatal, error/],
    [{ CPIS_BASE_PATH: '/FHIR/R4/' }, /^CPIS_BASE_PATH: must be a path such as/],
    [{ CPIS_BASE_PATH: 'FHIR' }, /^CPIS_BASE_PATH: must be a path such as/],
    [{ CPIS_METRICS_TOKEN: 'short' }, /^CPIS_METRICS_TOKEN: must be 16 to 256/],
    [{ CPIS_SEARCH_DEFAULT_COUNT: '300' }, /^CPIS_SEARCH_DEFAULT_COUNT: must not be greater/],
    [{ CPIS_HOST: '0.0.0.0' }, /^CPIS_PUBLIC_BASE_URL: is required/],
    [{ CPIS_HOST: '192.0.2.1' }, /^CPIS_PUBLIC_BASE_URL: is required/],
    [{ CPIS_HOST: '192.0.2.1' }, /^CPIS_HOST: is not a loopback address.*CPIS_DANGEROUSLY_ALLOW_PLAIN_HTTP/],
    [{ CPIS_HOST: '::' }, /^CPIS_HOST: is not a loopback address/],
    [{ CPIS_HOST: 'cpis.local' }, /^CPIS_HOST: is not a loopback address/],
    [{ CPIS_TLS_CERT_FILE: 'a.pem' }, /^CPIS_TLS_CERT_FILE and CPIS_TLS_KEY_FILE: set both or none/],
    [{ CPIS_TLS_KEY_FILE: 'a.key' }, /^CPIS_TLS_CERT_FILE and CPIS_TLS_KEY_FILE: set both or none/],
    [{ CPIS_TLS_CLIENT_CA_FILE: 'ca.pem' }, /^CPIS_TLS_CLIENT_CA_FILE: needs CPIS_TLS_CERT_FILE/],
    [
      { ...tls, CPIS_PUBLIC_BASE_URL: 'http://127.0.0.1/FHIR/R4' },
      /^CPIS_PUBLIC_BASE_URL: must be an https URL because/,
    ],
    [{ CPIS_TRUSTED_PROXIES: '10.0.0.0/33' }, /^CPIS_TRUSTED_PROXIES: \[0\]: must be an IP address or a CIDR block$/],
    [{ CPIS_TRUSTED_PROXIES: '10.0.0.1,999.0.0.1' }, /^CPIS_TRUSTED_PROXIES: \[1\]: must be an IP address/],
    [{ CPIS_TRUSTED_PROXIES: '2001:db8::/129' }, /^CPIS_TRUSTED_PROXIES: \[0\]: must be an IP address/],
    [
      { CPIS_TRUSTED_ISSUERS: JSON.stringify([issuer, { ...issuer, issuer: 'https://other.example.org' }]) },
      /\[1\]\.jwksUrl: must be unique, so that no issuer can sign for another$/,
    ],
    [
      { CPIS_TRUSTED_ISSUERS: JSON.stringify([{ ...issuer, tokenTypes: ['id'] }]) },
      /tokenTypes\[0\]: must be one of at\+jwt, JWT$/,
    ],
    [{ CPIS_PUBLIC_BASE_URL: 'cpis.example.org/FHIR/R4' }, /^CPIS_PUBLIC_BASE_URL: must be/],
    [{ CPIS_PUBLIC_BASE_URL: 'http://cpis.example.org/FHIR/R4' }, /^CPIS_PUBLIC_BASE_URL: must be an https URL/],
    [{ CPIS_PUBLIC_BASE_URL: 'https://cpis.example.org/' }, /^CPIS_PUBLIC_BASE_URL: must end with/],
    [
      { CPIS_PUBLIC_BASE_URL: 'https://CPIS.example.org:443/FHIR/R4' },
      /^CPIS_PUBLIC_BASE_URL: must be a normalised URL/,
    ],
    [{ CPIS_PUBLIC_BASE_URL: 'https://me:pw@cpis.example.org/FHIR/R4' }, /must not have a user, query or fragment$/],
    [{ CPIS_TRUSTED_ISSUERS: '[' }, /^CPIS_TRUSTED_ISSUERS: is not valid JSON$/],
    [{ CPIS_TRUSTED_ISSUERS: '[{}]' }, /^CPIS_TRUSTED_ISSUERS: \[0\]\.issuer: is required$/],
    [
      { CPIS_TRUSTED_ISSUERS: JSON.stringify([{ ...issuer, algorithms: ['HS256'] }]) },
      /^CPIS_TRUSTED_ISSUERS: \[0\]\.algorithms\[0\]: must be one of RS256/,
    ],
    [
      { CPIS_TRUSTED_ISSUERS: JSON.stringify([{ ...issuer, jwksUrl: 'http://127.0.0.1/jwks' }]) },
      /^CPIS_TRUSTED_ISSUERS: \[0\]\.jwksUrl: must be an https URL$/,
    ],
    [
      { CPIS_TRUSTED_ISSUERS: JSON.stringify([issuer, issuer]) },
      /\[1\]\.issuer: must be unique; another entry has this value$/,
    ],
    [{ CPIS_TRUSTED_ISSUERS: '[]', CPIS_TRUSTED_ISSUERS_FILE: 'x' }, /set only one of them$/],
    [{ CPIS_TRUSTED_ISSUERS_FILE: '/nowhere/issuers.json' }, /^CPIS_TRUSTED_ISSUERS_FILE: cannot read the file$/],
  ];
  for (const [env, expected] of rows) {
    const problems = problemsOf(env);
    t.ok(
      problems.some((problem) => expected.test(problem)),
      `${JSON.stringify(env)} -> ${problems.join(' & ')}`,
    );
    for (const value of Object.values(env)) {
      if (value !== undefined && value.length > 4) t.notOk(problems.join().includes(value), 'no value is repeated');
    }
  }
});

test('the settings of PDS', async (t) => {
  const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
  const key = { ...privateKey.export({ format: 'jwk' }), kid: 'one' };
  const files: Record<string, string> = {
    good: JSON.stringify(key),
    'no-kid': JSON.stringify({ ...key, kid: undefined }),
    public: JSON.stringify({ ...key, d: undefined }),
    text: 'secret-text',
  };
  const env = {
    CPIS_DEMOGRAPHICS: 'pds',
    CPIS_PDS_URL: 'https://api.example.org/pds/FHIR/R4/',
    CPIS_PDS_TOKEN_URL: 'https://api.example.org/oauth2/token',
    CPIS_PDS_CLIENT_ID: 'api-key',
    CPIS_PDS_KEY_FILE: 'good',
  };
  const load = (changed: Readonly<Record<string, string | undefined>>) =>
    loadSettings({ ...env, ...changed }, (path) => {
      const text = files[path];
      if (text === undefined) throw new Error('no such file');
      return text;
    });
  t.match(load({}).pds, {
    baseUrl: 'https://api.example.org/pds/FHIR/R4',
    clientId: 'api-key',
    privateJwk: { kid: 'one' },
    odsCode: undefined,
    ratePerSecond: 5,
    timeoutMs: 10_000,
    cacheAgeMs: 300_000,
  });
  t.equal(loadSettings({}).pds, undefined, 'none is the default');
  const rows: readonly [Readonly<Record<string, string | undefined>>, RegExp][] = [
    [{ CPIS_DEMOGRAPHICS: 'none' }, /CPIS_PDS_URL: needs CPIS_DEMOGRAPHICS=pds/],
    [{ CPIS_DEMOGRAPHICS: 'sds' }, /CPIS_DEMOGRAPHICS: must be one of none, pds/],
    [{ CPIS_PDS_URL: undefined }, /CPIS_PDS_URL: is required because CPIS_DEMOGRAPHICS is pds/],
    [{ CPIS_PDS_KEY_FILE: undefined }, /CPIS_PDS_KEY_FILE: is required/],
    [{ CPIS_PDS_URL: 'http://api.example.org/pds' }, /CPIS_PDS_URL: must be an https URL/],
    [{ CPIS_PDS_TOKEN_URL: 'http://127.0.0.1/token' }, /CPIS_PDS_TOKEN_URL: must be an https URL/],
    [{ CPIS_PDS_TOKEN_URL: 'https://a:b@example.org/' }, /CPIS_PDS_TOKEN_URL: must not have a user/],
    [{ CPIS_PDS_KEY_FILE: 'nowhere' }, /CPIS_PDS_KEY_FILE: cannot read the file/],
    [{ CPIS_PDS_KEY_FILE: 'no-kid' }, /CPIS_PDS_KEY_FILE: must hold a private RSA key/],
    [{ CPIS_PDS_KEY_FILE: 'public' }, /CPIS_PDS_KEY_FILE: must hold a private RSA key/],
    [{ CPIS_PDS_KEY_FILE: 'text' }, /CPIS_PDS_KEY_FILE: must hold a private RSA key/],
    [{ CPIS_PDS_RATE: '0' }, /CPIS_PDS_RATE: must be/],
    [{ CPIS_PDS_ODS_CODE: 'x y' }, /CPIS_PDS_ODS_CODE: must be an ODS code/],
  ];
  for (const [changed, message] of rows) {
    t.throws(() => load(changed), { message });
    t.notMatch(
      String(
        await Promise.resolve()
          .then(() => load(changed))
          .catch(String),
      ),
      'secret-text',
    );
  }
  const exposed = join(makeTempFolder(t), 'key.json');
  writeFileSync(exposed, JSON.stringify(key), { mode: 0o644 });
  files[exposed] = JSON.stringify(key);
  t.throws(() => load({ CPIS_PDS_KEY_FILE: exposed }), { message: /CPIS_PDS_KEY_FILE: .*others can use it/ });
  t.equal(
    load({ CPIS_PDS_TOKEN_URL: 'http://127.0.0.1/token', CPIS_DANGEROUSLY_ALLOW_LOOPBACK_ENDPOINTS: 'true' }).pds
      ?.tokenUrl,
    'http://127.0.0.1/token',
  );
});

test('lists all problems at once', async (t) => {
  const env = { CPIS_PORT: 'x', CPIS_LOG_LEVEL: 'y', CPIS_HOTS: 'z', CPIS_HOST: '::', CPIS_TRUSTED_ISSUERS: '{' };
  t.equal(problemsOf(env).length, 6);
  t.throws(() => loadSettings(env), { name: 'SettingsError', message: /- CPIS_PORT: must be a whole number\n/ });
});

test('docs/settings.md and the schema list the same settings', async (t) => {
  const page = readFileSync(new URL('../../docs/settings.md', import.meta.url), 'utf8');
  const rows = page
    .split('\n')
    .filter((line) => line.startsWith('| `CPIS_'))
    .map((line) => line.split('|').map((cell) => cell.trim()))
    .map(([, name = '', value = '', unit = '', since = '', meaning = '']) => {
      return { name: name.replaceAll('`', ''), value, unit, since, meaning };
    });
  t.strictSame(
    rows.map((row) => row.name),
    Object.keys(settingsSchema.properties),
  );
  for (const row of rows) {
    const schema: Readonly<Record<string, unknown>> =
      Object.entries(settingsSchema.properties).find(([name]) => name === row.name)?.[1] ?? {};
    if ('default' in schema) t.equal(row.value, `\`${String(schema['default'])}\``, `${row.name} default`);
    else t.notMatch(row.value, /^`/, `${row.name} has no fixed default`);
    t.equal(row.unit, schema['x-unit'] ?? '', `${row.name} unit`);
    t.match(row.since, /^\d+\.\d+\.\d+$/);
    t.ok(row.meaning.length > 10);
  }
});
