/** The conformance resources of this server, and the searches in the compartment of a patient. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Bundle, FhirResource, Flag, OperationDefinition } from 'fhir/r4.js';
import t from 'tap';
import { type FhirClient, openFhirClient } from '../../src/synthetic/fhir-client.ts';
import { namedRequest, openAuditTrail } from '../support/audit-trail.ts';
import { openWorld } from '../support/running-server.ts';
import { freshPlan, postBundle, resourcesOf, statusesOf, submit } from '../support/submissions.ts';

interface Named {
  readonly resourceType: string;
  readonly id: string;
  readonly url: string;
  readonly name: string;
}

const folder = join(import.meta.dirname, '../../profiles');
const files = readdirSync(folder)
  .filter((name) => name.endsWith('.json'))
  .map((name) => JSON.parse(readFileSync(join(folder, name), 'utf8')) as Named);
const types = [
  'CapabilityStatement',
  'CodeSystem',
  'OperationDefinition',
  'SearchParameter',
  'StructureDefinition',
  'ValueSet',
];

const world = await openWorld(t);
const trail = openAuditTrail(t, world.folder);
const { baseUrl } = world.server;
const { la, otherLa, epr } = world;

t.test('each file of profiles/ is read by id and found by url and name, by every role', async (t) => {
  t.ok(files.length > 10);
  for (const [index, { resourceType, id, url, name, ...content }] of files.entries()) {
    const client = [la, epr, world.operator][index % 3] as FhirClient;
    const named = namedRequest();
    const answer = await client.request<Named>('GET', `${resourceType}/${id}`, undefined, named.headers);
    t.match(answer, { status: 200, body: { resourceType, id, url, name, ...content } }, url);
    t.match(answer.headers.get('etag'), /^W\/"\d+"$/);
    t.match(trail.of(named.id), [{ subtype: 'read', outcome: '0', patients: [], owed: [], labels: [] }], 'audited');
    for (const criteria of [
      `url=${encodeURIComponent(url)}`,
      `_id=${id}`,
      `name=${name.slice(0, -1)}&url=${encodeURIComponent(url)}`,
    ]) {
      const found = await client.request<Bundle>('GET', `${resourceType}?${criteria}`);
      t.strictSame(
        resourcesOf<FhirResource>(found).map((resource) => resource.id),
        [id],
        `${resourceType}?${criteria}`,
      );
    }
  }
});

t.test('no scope is needed, a token is; what is not there, and what is not done', async (t) => {
  const [client] = world.registry.careProviders;
  if (client === undefined) throw new Error('no client');
  const narrow = openFhirClient(baseUrl, { ...client, scope: 'system/Flag.s' });
  t.equal((await narrow.request('GET', 'StructureDefinition/cpis-flag')).status, 200);
  for (const type of types) {
    t.equal((await fetch(`${baseUrl}/${type}`)).status, 401);
    const all = await epr.request<Bundle>('GET', type);
    t.equal(all.status, 200);
    t.ok((all.body.entry ?? []).every(({ resource }) => resource?.resourceType === type));
    t.equal((await la.request('GET', `${type}/nothing`)).status, 404);
    t.equal((await la.request<Bundle>('GET', `${type}?url=http://example.org/nothing`)).body.total, 0);
    t.equal((await la.request('GET', `${type}?publisher=x`, undefined, { prefer: 'handling=strict' })).status, 400);
    for (const [method, path] of [
      ['POST', type],
      ['PUT', `${type}/x`],
      ['DELETE', `${type}/x`],
    ] as const) {
      t.equal((await la.request(method, path, method === 'DELETE' ? undefined : { resourceType: type })).status, 405);
    }
  }
  const statement = await la.request('GET', 'CapabilityStatement/cpis-fhir');
  t.match(statement.body, { implementation: { url: baseUrl }, kind: 'instance' });
  const { body } = await la.request<OperationDefinition>('GET', 'OperationDefinition/cpis-validate');
  t.match(body, {
    code: 'validate',
    resource: ['Flag', 'Patient', 'Subscription'],
    type: true,
    instance: true,
    system: false,
  });
  const inBundle = await postBundle(epr, 'batch', [{ request: { method: 'GET', url: 'ValueSet?name=CPISplankind' } }]);
  t.strictSame(statusesOf(inBundle), ['200 OK']);
});

t.test('Patient/N/Flag is Flag?patient=N, and Patient/N/AuditEvent is AuditEvent?patient=N', async (t) => {
  const plan = freshPlan();
  const [id = ''] = await submit(la, plan);
  const { nhsNumber } = plan;
  const own = world.registry.authorities[0]?.organisationId;
  for (const [client, path] of [
    [epr, `Patient/${nhsNumber}/Flag`],
    [epr, `Patient/${nhsNumber}/Flag?code=342191000000101`],
    [la, `Patient/${nhsNumber}/Flag`],
  ] as const) {
    const named = namedRequest();
    const answer = await client.request<Bundle>('GET', path, undefined, named.headers);
    t.strictSame(
      resourcesOf(answer).map((flag) => flag.id),
      [id],
      path,
    );
    t.match(answer.body.link, [{ relation: 'self', url: new RegExp(`^${baseUrl}/Flag\\?patient=${nhsNumber}`) }]);
    const notified = client === epr ? [own] : [];
    t.match(trail.of(named.id), [{ subtype: 'search-type', outcome: '0', patients: [nhsNumber], owed: notified }]);
  }
  const named = namedRequest();
  const form = await epr.request<Bundle>('POST', `Patient/${nhsNumber}/Flag/_search`, undefined, {
    'content-type': 'application/x-www-form-urlencoded',
    ...named.headers,
  });
  t.equal(form.body.total, 1);
  t.equal(trail.of(named.id).length, 1);
  t.ok(((await epr.request<Bundle>('GET', `Patient/${nhsNumber}/AuditEvent`)).body.entry ?? []).length > 0);
  t.equal((await otherLa.request<Bundle>('GET', `Patient/${nhsNumber}/Flag`)).body.total, 0, 'hidden');
  t.equal((await epr.request<Bundle>('GET', `Patient/${freshPlan().nhsNumber}/Flag`)).body.total, 0, 'unknown');
  const other = freshPlan().nhsNumber;
  const refused: [FhirClient, string, string, number][] = [
    [epr, 'GET', 'Patient/9990000019/Flag', 400],
    [epr, 'GET', `Patient/${nhsNumber}/Flag?patient=${other}`, 400],
    [epr, 'GET', `Patient/${nhsNumber}/Organization`, 404],
    [epr, 'GET', `Patient/${nhsNumber}/*`, 404],
    [epr, 'GET', `Flag/${id}/Patient`, 404],
    [world.operator, 'GET', `Patient/${nhsNumber}/Flag`, 403],
    [la, 'PUT', `Patient/${nhsNumber}/Flag`, 405],
  ];
  for (const [client, method, path, status] of refused) {
    const request = namedRequest();
    const body = method === 'PUT' ? { resourceType: 'Flag' } : undefined;
    t.equal((await client.request(method, path, body, request.headers)).status, status, `${method} ${path}`);
    t.match(trail.of(request.id), [{ outcome: '4' }]);
  }
  const batch = namedRequest();
  const answer = await postBundle(
    epr,
    'batch',
    [{ request: { method: 'GET', url: `Patient/${nhsNumber}/Flag?_count=5` } }],
    batch.headers,
  );
  const [entry] = answer.body.entry ?? [];
  t.match((entry?.resource as Bundle | undefined)?.entry?.[0]?.resource as Flag, { id });
  t.match(trail.of(batch.id), [{ subtype: 'search-type', patients: [nhsNumber], owed: [own] }]);
});
