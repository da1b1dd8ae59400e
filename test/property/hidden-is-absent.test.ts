/**
 * Requests at random: what a client may not see is to it as what is not there, whatever it asks, and however. The server
 * asks the same of its store for both, so that they take their time alike.
 */
import { randomUUID } from 'node:crypto';
import fc from 'fast-check';
import type { Bundle } from 'fhir/r4.js';
import t from 'tap';
import type { FhirClient } from '../../src/synthetic/fhir-client.ts';
import { buildFlag, buildPatient } from '../../src/synthetic/synthetic-plan.ts';
import { watchStore } from '../support/asked-of-store.ts';
import { openWorld } from '../support/running-server.ts';
import { freshPlan, idIn, referenceSystem, resourcesOf, submit } from '../support/submissions.ts';

const origin = 'https://subscriber.example.org';
const asked = watchStore();
const world = await openWorld(t, { subscriptionOrigins: [origin, origin], aroundStore: asked.around });
const { baseUrl } = world.server;
const { la, otherLa, epr } = world;
const [ownerId = ''] = world.registry.authorities.map(({ organisationId }) => organisationId);
const nhs = 'https://fhir.nhs.uk/Id/nhs-number';

/** What a request may name: of something hidden, or of nothing. Each value has the same length in both. */
interface Named {
  readonly number: string;
  readonly family: string;
  readonly born: string;
  readonly reference: string;
  readonly flag: string;
  readonly subscription: string;
  readonly event: string;
}
type Fill = (named: Named) => string;

const hidden = freshPlan({ family: 'Hiddenchild', birthDate: '2016-01-02' });
const [flag = ''] = await submit(la, hidden);
const withdrawn = freshPlan({ family: 'Withdrawn', birthDate: '2016-03-04' });
const [withdrawnFlag = ''] = await submit(la, withdrawn);
const made = await la.request('POST', 'Subscription', {
  resourceType: 'Subscription',
  status: 'off',
  reason: 'reads of our plans',
  criteria: 'AuditEvent?type=rest',
  channel: { type: 'rest-hook', endpoint: `${origin}/hook`, payload: 'application/fhir+json' },
});
await epr.request('GET', `Flag?patient=${hidden.nhsNumber}`);
await la.request('PUT', `Flag/${flag}`, { ...buildFlag(hidden), id: flag });
await la.request('DELETE', `Flag/${withdrawnFlag}`);
const events = await la.request<Bundle>('GET', `AuditEvent?patient=${hidden.nhsNumber}&subtype=search-type`);
const others = {
  subscription: idIn(made.headers.get('location')),
  event: resourcesOf(events)[0]?.id ?? '',
};
const ofPlan = (plan: typeof hidden, flagId: string): Named => ({
  ...{ number: plan.nhsNumber, family: plan.family, born: plan.birthDate, reference: plan.reference },
  ...{ flag: flagId, ...others },
});
const nothing = (like: Named): Named => ({
  ...{ number: freshPlan().nhsNumber, family: like.family.replace(/^..../, 'Nosu'), born: '2016-05-06' },
  ...{ reference: randomUUID(), flag: randomUUID(), subscription: randomUUID(), event: randomUUID() },
});

const token = (system: string, value: string): string => encodeURIComponent(`${system}|${value}`);
const pick = <T>(...values: readonly T[]) => fc.constantFrom(...values);
const flagCriteria = pick<Fill>(
  (x) => `patient=${x.number}`,
  (x) => `patient=Patient/${x.number}`,
  (x) => `subject=${encodeURIComponent(`${baseUrl}/Patient/${x.number}`)}`,
  (x) => `subject:Patient=${x.number}`,
  (x) => `patient:identifier=${token(nhs, x.number)}`,
  (x) => `patient.identifier=${token(nhs, x.number)}`,
  (x) => `patient:Patient._id=${x.number}`,
  (x) => `patient.family=${x.family}`,
  (x) => `patient.name:contains=${x.family.slice(2)}`,
  (x) => `patient.birthdate=${x.born}`,
  (x) => `identifier=${token(referenceSystem, x.reference)}`,
  (x) => `identifier=${x.reference}`,
  (x) => `_id=${x.flag}`,
  (x) => `_id=${x.flag}&author=${ownerId}`,
  (x) => `_id=${x.flag}&code:missing=false`,
  (x) => `_id=${x.flag}&status:not=active`,
);
const patientCriteria = pick<Fill>(
  (x) => `_id=${x.number}`,
  (x) => `identifier=${token(nhs, x.number)}`,
  (x) => `family=${x.family}`,
  (x) => `family:exact=${x.family}`,
  (x) => `name:contains=${x.family.slice(2)}`,
  (x) => `birthdate=${x.born}&gender:missing=true`,
  (x) => `_has:Flag:patient:_id=${x.flag}`,
  (x) => `_has:Flag:subject:identifier=${x.reference}`,
);
const eventCriteria = pick<Fill>(
  (x) => `entity=Flag/${x.flag}`,
  (x) => `entity=Patient/${x.number}`,
  (x) => `patient=${x.number}`,
  (x) => `_id=${x.event}`,
  (x) => `_id=${x.event}&agent=Organization/${ownerId}`,
);
const results = fc
  .subarray([
    '_sort=-_lastUpdated',
    '_total=accurate',
    '_total=none',
    '_count=1',
    '_count=0',
    '_summary=count',
    '_summary=true',
    '_elements=id',
    '_pretty=true',
  ])
  .map((chosen) => chosen.map((text) => `&${text}`).join(''));
const includes = fc
  .subarray(['_include=Flag:patient', '_include=Flag:author', '_include:iterate=Flag:patient'])
  .map((chosen) => chosen.map((text) => `&${text}`).join(''));

const search: fc.Arbitrary<Fill> = fc.oneof(
  fc.tuple(flagCriteria, results, includes).map(
    ([of, more, also]): Fill =>
      (x) =>
        `Flag?${of(x)}${more}${also}`,
  ),
  fc.tuple(patientCriteria, results, pick('', '&_revinclude=Flag:patient', '&_revinclude:iterate=Flag:subject')).map(
    ([of, more, also]): Fill =>
      (x) =>
        `Patient?${of(x)}${more}${also}`,
  ),
  fc
    .tuple(
      eventCriteria,
      pick('&_summary=count', '&_total=accurate&_count=1', '&_count=0', '&_include=AuditEvent:entity'),
    )
    .map(
      ([of, more]): Fill =>
        (x) =>
          `AuditEvent?${of(x)}${more}`,
    ),
  pick<Fill>((x) => `Subscription?_id=${x.subscription}`),
);
const single = pick<Fill>(
  (x) => `Flag/${x.flag}`,
  (x) => `Patient/${x.number}`,
  (x) => `Subscription/${x.subscription}`,
  (x) => `AuditEvent/${x.event}`,
);
const readOnly: fc.Arbitrary<Fill> = fc.oneof(
  search,
  single,
  fc.tuple(single, pick('_history', '_history/1', '_history/2', '_history/99')).map(
    ([of, what]): Fill =>
      (x) =>
        `${of(x)}/${what}`,
  ),
  fc.tuple(single, pick('_summary=true', '_summary=text', '_elements=status')).map(
    ([of, what]): Fill =>
      (x) =>
        `${of(x)}?${what}`,
  ),
  pick<Fill>(
    (x) => `Patient/${x.number}/Flag`,
    (x) => `Patient/${x.number}/AuditEvent?_summary=count`,
    (x) => `Subscription/${x.subscription}/$status`,
    (x) => `Subscription/${x.subscription}/$events`,
    (x) => `Subscription/${x.subscription}/$get-ws-binding-token`,
    (x) => `Flag/${x.flag}/_history?_since=2020-01-01T00:00:00Z`,
    (x) => `Flag/${x.flag}/_history?_at=2100`,
  ),
);

interface Asked {
  readonly method: string;
  readonly path: Fill;
  readonly body?: (named: Named) => unknown;
  readonly headers?: Readonly<Record<string, string>>;
}
const fhir = { 'content-type': 'application/fhir+json' };
const conditions = pick<Record<string, string>>(
  {},
  { 'if-none-match': 'W/"1"' },
  { 'if-none-match': '*' },
  { 'if-none-match': 'garbage' },
  { 'if-modified-since': 'Wed, 21 Oct 2099 07:28:00 GMT' },
  { prefer: 'handling=strict' },
);
const guards = pick<Record<string, string>>({}, { 'if-match': 'W/"1"' }, { 'if-match': 'W/"2"' }, { 'if-match': '1' });
const mine = freshPlan();
const planOn = (x: Named) => ({ ...buildFlag(mine), subject: { reference: `Patient/${x.number}` } });
const writtenFlag = pick<(named: Named) => unknown>(
  (x) => ({ ...planOn(x), id: x.flag }),
  (x) => ({ ...planOn(x), id: x.flag, status: 'nonsense' }),
  (x) => ({ ...planOn(x), id: x.flag, author: { reference: `Organization/${ownerId}` } }),
  () => ({ resourceType: 'Flag' }),
);
const patch = pick<unknown>(
  [{ op: 'test', path: '/status', value: 'active' }],
  [{ op: 'replace', path: '/status', value: 'entered-in-error' }],
  [{ op: 'nonsense' }],
);
const byFlag = pick<Fill>(
  (x) => `Flag/${x.flag}`,
  (x) => `Flag?_id=${x.flag}`,
  (x) => `Flag?identifier=${token(referenceSystem, x.reference)}`,
);
const writing: fc.Arbitrary<Asked> = fc.oneof(
  fc.tuple(byFlag, guards).map(([path, headers]): Asked => ({ method: 'DELETE', path, headers })),
  fc.tuple(byFlag, guards, patch).map(
    ([path, headers, document]): Asked => ({
      ...{ method: 'PATCH', path, body: () => document },
      headers: { ...headers, 'content-type': 'application/json-patch+json' },
    }),
  ),
  fc.tuple(byFlag, guards, writtenFlag).map(([path, headers, body]): Asked => ({ method: 'PUT', path, headers, body })),
  fc
    .tuple(
      writtenFlag,
      pick<Fill>(
        () => 'Flag/$validate',
        (x) => `Flag/${x.flag}/$validate`,
      ),
    )
    .map(([body, path]): Asked => ({ method: 'POST', path, body })),
  pick<Asked>(
    { method: 'POST', path: () => 'Flag', body: planOn },
    { method: 'POST', path: () => 'Patient/$validate', body: (x) => buildPatient({ ...mine, nhsNumber: x.number }) },
    { method: 'DELETE', path: (x) => `Subscription/${x.subscription}` },
    {
      method: 'PUT',
      path: (x) => `Subscription/${x.subscription}`,
      body: (x) => ({ resourceType: 'Subscription', id: x.subscription }),
    },
    { method: 'DELETE', path: (x) => `Patient/${x.number}` },
    { method: 'PATCH', path: (x) => `Patient/${x.number}`, body: () => ({ resourceType: 'Parameters' }) },
  ),
);
const reading: fc.Arbitrary<Asked> = fc
  .tuple(pick('GET', 'GET', 'HEAD'), readOnly, conditions)
  .map(([method, path, headers]) => ({ method, path, headers }));
const posted: fc.Arbitrary<Asked> = search.map((path) => ({
  method: 'POST',
  path: (x) => `${path(x).split('?')[0]}/_search?${path(x).split('?')[1]}`,
}));
const alone = fc.oneof(
  { weight: 3, arbitrary: reading },
  { weight: 1, arbitrary: posted },
  { weight: 3, arbitrary: writing },
);

/** The same within a Bundle. */
const bundle = (type: string, entries: readonly Asked[]): Asked => ({
  method: 'POST',
  path: () => '',
  body: (x) => ({
    resourceType: 'Bundle',
    type,
    entry: entries.map(({ method, path, body, headers = {} }) => {
      const resource = body?.(x);
      const isPatch = method === 'PATCH' && Array.isArray(resource);
      const data = Buffer.from(JSON.stringify(resource ?? null)).toString('base64');
      const binary = { resourceType: 'Binary', contentType: 'application/json-patch+json', data };
      return {
        ...(resource === undefined ? {} : { resource: isPatch ? binary : resource }),
        request: {
          ...{ method, url: path(x) },
          ...(headers['if-match'] === undefined ? {} : { ifMatch: headers['if-match'] }),
          ...(headers['if-none-match'] === undefined ? {} : { ifNoneMatch: headers['if-none-match'] }),
        },
      };
    }),
  }),
});
const bundled: fc.Arbitrary<Asked> = fc
  .tuple(pick('batch', 'transaction'), fc.array(fc.oneof(reading, writing), { minLength: 1, maxLength: 3 }))
  .map(([type, entries]) => bundle(type, entries));
/** A plan of one's own on a child that is found by a condition. */
const referring: fc.Arbitrary<Asked> = patientCriteria.map((of) => ({
  method: 'POST',
  path: () => '',
  body: (x) => {
    const resource = { ...buildFlag(mine), subject: { reference: `Patient?${of(x)}` } };
    return {
      resourceType: 'Bundle',
      type: 'transaction',
      entry: [{ resource, request: { method: 'POST', url: 'Flag' } }],
    };
  },
}));

async function view(client: FhirClient, request: Asked, named: Named): Promise<string> {
  const path = request.path(named);
  const sent = request.body?.(named);
  const token = await client.token();
  asked.take();
  const response = await fetch(path === '' ? baseUrl : `${baseUrl}/${path}`, {
    method: request.method,
    headers: {
      authorization: `Bearer ${token}`,
      ...(sent === undefined ? {} : fhir),
      ...(request.method === 'POST' && sent === undefined
        ? { 'content-type': 'application/x-www-form-urlencoded' }
        : {}),
      ...request.headers,
    },
    ...(sent === undefined ? {} : { body: JSON.stringify(sent) }),
  });
  const headers = [...response.headers].filter(([name]) => !/^(date|x-request-id)$/.test(name));
  // The asker's own AuditEvents repeat what it asked.
  const body = (await response.text()).replaceAll(/(?<="query":")[\w+/=]+/g, (query) => atob(query));
  let text = `${response.status} ${JSON.stringify(headers)} ${body}\nof the store: ${asked.take().join(', ')}`;
  for (const [name, value] of Object.entries(named)) {
    text = text.replaceAll(value, `<${name}>`).replaceAll(value.slice(2), `<${name}>`);
  }
  return text
    .replaceAll(/[0-9a-f]{8}-[0-9a-f-]{27}/g, '<id>')
    .replaceAll(/\d{4}-\d\d-\d\dT[\d:.]+Z/g, '<time>')
    .replaceAll(/_cursor=[\w-]+/g, '<cursor>');
}

const read = (path: Fill): Asked => ({ method: 'GET', path });
const readFlag = read((x) => `Flag/${x.flag}`);
const lookUp = read((x) => `Flag?patient=${x.number}`);
/** Asked in every run, so that what a run must have seen does not hang on chance. */
const always: readonly Asked[] = [
  readFlag,
  lookUp,
  read((x) => `Patient/${x.number}/Flag`),
  read((x) => `AuditEvent?entity=Patient/${x.number}&_summary=count`),
  read((x) => `Subscription?_id=${x.subscription}`),
  read((x) => `Subscription/${x.subscription}/$events`),
  { ...read((x) => `Flag?_id=${x.flag}&nonsense=1`), headers: { prefer: 'handling=strict' } },
  { method: 'DELETE', path: (x) => `Patient/${x.number}` },
  bundle('batch', [readFlag, readFlag]),
  bundle('batch', [lookUp, lookUp, lookUp]),
];

const cases: readonly [name: string, client: FhirClient, hidden: Named][] = [
  ['another authority', otherLa, ofPlan(hidden, flag)],
  ['another authority, of a plan that was withdrawn', otherLa, ofPlan(withdrawn, withdrawnFlag)],
  ['a care provider, of a plan that was withdrawn', epr, ofPlan(withdrawn, withdrawnFlag)],
  ['the operator', world.operator, ofPlan(hidden, flag)],
];
for (const [name, client, there] of cases) {
  t.test(name, async (t) => {
    const absent = nothing(there);
    const statuses = new Map<string, number>();
    const lookUps = new Set<string>();
    await fc.assert(
      fc.asyncProperty(fc.oneof({ weight: 4, arbitrary: alone }, bundled, referring), async (request) => {
        const [seen, unseen] = [await view(client, request, there), await view(client, request, absent)];
        const status = seen.slice(0, 3);
        statuses.set(status, (statuses.get(status) ?? 0) + 1);
        lookUps.add(seen.slice(seen.lastIndexOf('\n')));
        if (seen !== unseen) {
          const { method, path, body, headers } = request;
          const what = `${method} ${path(there)} ${JSON.stringify(body?.(there))} ${JSON.stringify(headers)}`;
          throw new Error(`${what}\nhidden: ${seen}\nabsent: ${unseen}`);
        }
      }),
      { numRuns: 100 + always.length, examples: always.map((request) => [request]) },
    );
    t.ok(statuses.size >= 3, JSON.stringify([...statuses]));
    t.ok(lookUps.size >= 3, JSON.stringify([...lookUps]));
    const looked = [...lookUps].filter((text) => /read|search/.test(text));
    t.ok(client === world.operator ? looked.length === 0 : looked.length >= 3, JSON.stringify(looked));
  });
}

t.test('and nothing was done to it', async (t) => {
  t.match(await la.request('GET', `Flag/${flag}`), {
    status: 200,
    body: { status: 'active', meta: { versionId: '1' } },
  });
  t.match(await la.request('GET', `Patient/${hidden.nhsNumber}`), { status: 200, body: { meta: { versionId: '1' } } });
  t.equal((await la.request('GET', `Subscription/${others.subscription}`)).status, 200);
});
