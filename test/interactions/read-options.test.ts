import type { AuditEvent, Bundle, Flag, OperationOutcome, Organization, Patient } from 'fhir/r4.js';
import t from 'tap';
import type { FhirClient } from '../../src/synthetic/fhir-client.ts';
import { buildFlag, buildPatient } from '../../src/synthetic/synthetic-plan.ts';
import { namedRequest, openAuditTrail } from '../support/audit-trail.ts';
import { openWorld } from '../support/running-server.ts';
import {
  freshNhsNumber,
  freshPlan,
  kindOf,
  outcomeOf,
  postBundle,
  resourcesOf,
  statusesOf,
  submit,
} from '../support/submissions.ts';

const world = await openWorld(t);
const trail = openAuditTrail(t, world.folder);
const { baseUrl } = world.server;
const { la, otherLa, epr, ownId } = world;

const get = <T>(client: FhirClient, path: string, headers: Record<string, string> = {}) =>
  client.request<T>('GET', path, undefined, headers);

t.test(
  'conditional read: 304 with the validators and no body, audited and notified as the read that it is',
  async (t) => {
    const plan = freshPlan();
    const [id = ''] = await submit(la, plan);
    const read = await get<Flag>(la, `Flag/${id}`);
    const etag = read.headers.get('etag') ?? '';
    const modified = read.headers.get('last-modified') ?? '';
    const before = 'Mon, 01 Jan 2024 00:00:00 GMT';
    const cases: readonly (readonly [Record<string, string>, number])[] = [
      [{ 'if-none-match': etag }, 304],
      [{ 'if-none-match': '"1"' }, 304],
      [{ 'if-none-match': `W/"7", ${etag}` }, 304],
      [{ 'if-none-match': '*' }, 304],
      [{ 'if-none-match': 'W/"2"' }, 200],
      [{ 'if-modified-since': modified }, 304],
      [{ 'if-modified-since': before }, 200],
      [{ 'if-modified-since': 'yesterday' }, 200],
      [{ 'if-none-match': 'W/"2"', 'if-modified-since': modified }, 200],
      [{ 'if-none-match': etag, 'if-modified-since': before }, 304],
    ];
    for (const path of [`Flag/${id}`, `Flag/${id}/_history/1`, `Patient/${plan.nhsNumber}`]) {
      for (const [headers, status] of cases) {
        const answer = await get(la, path, headers);
        t.equal(answer.status, status, `${path} ${JSON.stringify(headers)}`);
        t.equal(answer.headers.get('etag'), etag);
        t.ok(answer.headers.get('last-modified'));
        if (status === 304) t.equal(answer.body, undefined);
      }
    }
    for (const path of [`Flag/${id}`, `Patient/${plan.nhsNumber}`]) {
      const { id: requestId, headers } = namedRequest();
      t.equal((await get(epr, path, { ...headers, 'if-none-match': etag })).status, 304);
      t.match(
        trail.of(requestId),
        [{ subtype: 'read', outcome: '0', patients: [plan.nhsNumber], custodians: [ownId], owed: [ownId] }],
        'what was not sent again was read all the same',
      );
    }
    t.equal((await get(la, `Organization/${ownId}`, { 'if-none-match': '*' })).status, 304);
    for (const garbage of ['1', 'W/1', 'W/"1', '"a" "b"', ',']) {
      const there = await get<OperationOutcome>(la, `Flag/${id}`, { 'if-none-match': garbage });
      const hidden = await get<OperationOutcome>(otherLa, `Flag/${id}`, { 'if-none-match': garbage });
      t.equal(there.status, 400, garbage);
      t.strictSame(there.body, hidden.body, 'the refusal tells nothing of what is there');
    }
    for (const client of [otherLa, epr]) {
      const number = freshNhsNumber();
      await submit(la, freshPlan({ nhsNumber: number, start: '2019-04-01', end: '2019-05-01' }));
      const hidden = await get(client, `Patient/${number}`, { 'if-none-match': '*' });
      t.equal(hidden.status, 404, 'hidden is no 304');
      t.strictSame(hidden.body, (await get(client, `Patient/${freshNhsNumber()}`, { 'if-none-match': '*' })).body);
    }
  },
);

t.test('HEAD is served wherever GET is, with the headers of GET and no body, and audited alike', async (t) => {
  const plan = freshPlan();
  const [id = ''] = await submit(la, plan);
  const paths = [
    `Flag/${id}`,
    `Flag/${id}/_history/1`,
    `Flag/${id}/_history`,
    'Flag/_history',
    '_history',
    `Flag?patient=${plan.nhsNumber}`,
    `Organization/${ownId}`,
    'Flag/never-there',
  ];
  for (const path of paths) {
    const { id: requestId, headers } = namedRequest();
    const head = await la.request('HEAD', path, undefined, headers);
    const read = await get(la, path);
    t.equal(head.status, read.status, path);
    t.equal(head.body, undefined, path);
    for (const name of ['etag', 'last-modified', 'content-type']) {
      t.equal(head.headers.get(name), read.headers.get(name), `${path} ${name}`);
    }
    t.equal(trail.of(requestId).length, 1, `${path}: audited`);
  }
  const { id: requestId, headers } = namedRequest();
  t.equal((await epr.request('HEAD', `Flag?patient=${plan.nhsNumber}`, undefined, headers)).status, 200);
  t.match(trail.of(requestId), [{ subtype: 'search-type', patients: [plan.nhsNumber], owed: [ownId] }]);
  t.equal((await fetch(`${baseUrl}/metadata`, { method: 'HEAD' })).status, 200);
});

t.test('_summary and _elements on read, vread, search and history: SUBSETTED, mandatory elements kept', async (t) => {
  const plan = freshPlan();
  const [id = ''] = await submit(la, plan);
  const extended: Patient = { ...buildPatient(plan), gender: 'female' };
  await la.request('PUT', `Patient/${plan.nhsNumber}`, extended);
  const subsetted = {
    tag: [{ system: 'http://terminology.hl7.org/CodeSystem/v3-ObservationValue', code: 'SUBSETTED' }],
  };
  const flagNames = async (query: string): Promise<string[]> => {
    const names: string[][] = [];
    const flags = [
      (await get<Flag>(la, `Flag/${id}?${query}`)).body,
      (await get<Flag>(la, `Flag/${id}/_history/1?${query}`)).body,
      ...resourcesOf(await get<Bundle>(la, `Flag?patient=${plan.nhsNumber}&${query}`)),
      ...resourcesOf(await get<Bundle>(epr, `Flag?patient=${plan.nhsNumber}&${query}`)),
      (await get<Bundle>(la, `Flag/${id}/_history?${query}`)).body.entry?.[0]?.resource as Flag,
    ];
    t.equal(flags.length, 5, query);
    for (const flag of flags) {
      t.match(flag, { resourceType: 'Flag', id, meta: { versionId: '1', ...subsetted } }, query);
      names.push(Object.keys(flag).sort());
    }
    // NHS staff are not shown the identifiers of a plan.
    const [ofAuthority = [], forNhs] = [names[0], names.splice(3, 1)[0]];
    t.strictSame(
      forNhs,
      ofAuthority.filter((name) => name !== 'identifier'),
    );
    for (const other of names) t.strictSame(other, names[0], `${query}: the same everywhere`);
    return names[0] ?? [];
  };
  const kept = ['code', 'id', 'meta', 'resourceType', 'status', 'subject'];
  t.strictSame(await flagNames('_elements=period'), [...kept, 'period'].sort());
  t.strictSame(await flagNames('_elements=status,nonsense'), kept, 'what no Flag has selects nothing');
  t.strictSame(await flagNames('_summary=text'), kept, 'a Flag has no narrative here');
  const whole = ['author', 'identifier', 'period', ...kept].sort();
  t.strictSame(await flagNames('_summary=true'), whole);
  t.strictSame(await flagNames('_summary=data'), whole);
  const unshaped = await get<Flag>(la, `Flag/${id}?_summary=false`);
  t.strictSame(unshaped.body, (await get<Flag>(la, `Flag/${id}`)).body, 'false is no shape');
  t.equal(unshaped.headers.get('etag'), 'W/"1"');

  const patient = (await get<Patient>(la, `Patient/${plan.nhsNumber}?_elements=birthDate`)).body;
  t.strictSame(Object.keys(patient).sort(), ['birthDate', 'id', 'meta', 'resourceType']);
  const organisation = (await get<Organization>(la, `Organization/${ownId}?_summary=true`)).body;
  t.notOk('telecom' in organisation || 'contact' in organisation, 'telephones are no part of a summary');
  t.ok(organisation.name);
  const counted = await get<Bundle>(epr, `Flag?patient=${plan.nhsNumber}&_summary=count`);
  t.match(counted.body, { type: 'searchset', total: 1 });
  t.notOk('entry' in counted.body);

  await epr.request('GET', `Flag?patient=${plan.nhsNumber}`);
  const events = await get<Bundle>(la, `AuditEvent?patient=${plan.nhsNumber}&_summary=true`);
  const [event] = resourcesOf<AuditEvent>(events);
  t.match(event, { resourceType: 'AuditEvent', recorded: /./, source: { observer: {} }, meta: subsetted });
  t.ok(
    event?.agent.every((agent) => typeof agent.requestor === 'boolean'),
    'mandatory within what is mandatory',
  );
  t.notMatch(JSON.stringify(event), /"network"|"policy"|"entity"/);
  const seen = resourcesOf<AuditEvent>(
    await get<Bundle>(epr, `AuditEvent?patient=${plan.nhsNumber}&_elements=recorded`),
  );
  t.ok(seen.length > 0);
  for (const entry of seen) t.strictSame(entry.meta?.tag, subsetted.tag, 'one tag, not two');

  const included = await get<Bundle>(la, `Flag?patient=${plan.nhsNumber}&_include=Flag:author&_elements=name`);
  const [author] = resourcesOf<Organization>(included, 'include');
  t.match(author, { name: /./, meta: subsetted });
  t.notOk('telecom' in (author ?? {}), 'what is included is shaped as well');
  const self = included.body.link?.find(({ relation }) => relation === 'self')?.url;
  t.match(self, '_elements=name', 'self says what was done');
  const pages = await get<Bundle>(la, 'Flag?_count=1&_elements=status');
  await submit(la, freshPlan());
  const again = await get<Bundle>(la, 'Flag?_count=1&_elements=status');
  const next = again.body.link?.find(({ relation }) => relation === 'next')?.url ?? '';
  t.equal(pages.status, 200);
  t.match((await get<Bundle>(la, next.slice(baseUrl.length + 1))).body.entry?.[0]?.resource, { meta: subsetted });

  for (const [query, expression] of [
    ['_summary=count', '_summary'],
    ['_summary=yes', '_summary'],
    ['_summary=true&_summary=true', '_summary'],
    ['_elements=', '_elements'],
    ['_elements=Flag.status', '_elements'],
    ['_elements=period&_summary=true', '_elements'],
  ]) {
    for (const path of [`Flag/${id}`, 'Flag/never-there']) {
      const refused = await get<OperationOutcome>(la, `${path}?${query}`);
      t.strictSame([refused.status, refused.body.issue[0]?.expression], [400, [expression]], `${path}?${query}`);
    }
  }
  const mixed = await get<OperationOutcome>(la, `Flag?patient=${plan.nhsNumber}&_include=Flag:author&_summary=text`);
  t.equal(mixed.status, 400);
  t.equal((await get(la, `Flag/${id}?nonsense=1`)).status, 200);
  t.equal((await get(la, `Flag/${id}?nonsense=1`, { prefer: 'handling=strict' })).status, 400);

  const partial = (await get<Flag>(la, `Flag/${id}?_elements=status`)).body;
  const returned = await la.request<OperationOutcome>('PUT', `Flag/${id}`, partial);
  t.equal(returned.status, 422, 'a part is not taken for the whole');
});

t.test('_format, _pretty and fhirVersion', async (t) => {
  const plan = freshPlan();
  const [id = ''] = await submit(la, plan);
  const token = await la.token();
  const ask = async (path: string, headers: Record<string, string> = {}, init: RequestInit = {}) =>
    fetch(`${baseUrl}/${path}`, { ...init, headers: { authorization: `Bearer ${token}`, ...headers } });
  const typeSaying = (asked: string): string =>
    `application/fhir+json; charset=utf-8${asked.includes('fhirVersion') ? '; fhirVersion=4.0' : ''}`;
  for (const [accept, status] of [
    ['application/fhir+json; fhirVersion=4.0', 200],
    ['application/fhir+json;fhirVersion="4.0"', 200],
    ['application/json;fhirVersion=4.0.1', 200],
    ['application/fhir+json; fhirVersion=3.0', 406],
    ['application/fhir+json; fhirVersion=3.0, application/fhir+json; fhirVersion=4.0; q=0.5', 200],
    ['application/fhir+xml', 406],
  ] as const) {
    for (const path of [`Flag/${id}`, `Flag/${id}/_history`, 'metadata']) {
      const answer = await ask(path, { accept });
      t.equal(answer.status, status, `${path} ${accept}`);
      t.equal(answer.headers.get('content-type'), typeSaying(accept), 'the version is told where it is asked for');
    }
  }
  for (const [format, status] of [
    ['json', 200],
    ['application/fhir+json;fhirVersion=4.0', 200],
    ['application/fhir+json;fhirVersion=5.0', 406],
    ['xml', 406],
  ] as const) {
    for (const path of [`Flag/${id}`, `Flag/${id}/_history`, 'metadata']) {
      const answer = await ask(`${path}?_format=${encodeURIComponent(format)}`, { accept: 'text/html' });
      t.equal(answer.status, status, `${path} ${format}`);
      t.equal(answer.headers.get('content-type'), typeSaying(format));
    }
  }
  const sent = JSON.stringify({ ...buildFlag(plan), id });
  for (const [type, status] of [
    ['application/fhir+json; fhirVersion=4.0', 200],
    ['application/fhir+json; fhirVersion=1.0', 415],
  ] as const) {
    const answer = await ask(`Flag/${id}`, { 'content-type': type }, { method: 'PUT', body: sent });
    t.equal(answer.status, status, type);
  }
  const plain = await (await ask(`Flag/${id}`)).text();
  const pretty = await (await ask(`Flag/${id}?_pretty=true`)).text();
  t.equal(pretty, JSON.stringify(JSON.parse(plain), null, 2));
  t.equal(await (await ask(`Flag/${id}?_pretty=false`)).text(), plain);
  const outcome = await (await ask('Flag/never-there?_pretty=true')).text();
  t.equal(outcome, JSON.stringify(JSON.parse(outcome), null, 2), 'faults as well');
  t.equal((await ask(`Flag/${id}?_pretty=maybe`)).status, 400);
});

t.test('conditional delete: one match is deleted, several are refused, none leaves nothing to do', async (t) => {
  const system = 'https://la.example.org/conditional-delete';
  const plan = freshPlan({ referenceSystem: system });
  const [id = ''] = await submit(la, plan);
  const [foreign = ''] = await submit(otherLa, freshPlan({ ...plan, nhsNumber: freshNhsNumber() }));
  const criteria = `Flag?identifier=${encodeURIComponent(`${system}|${plan.reference}`)}`;
  for (const [ifMatch, status] of [
    ['W/"7"', 412],
    ['garbage', 400],
    ['W/1', 400],
  ] as const) {
    const refused = await la.request('DELETE', criteria, undefined, { 'if-match': ifMatch });
    t.equal(refused.status, status, ifMatch);
  }
  const { id: requestId, headers } = namedRequest();
  const deleted = await la.request('DELETE', criteria, undefined, { ...headers, 'if-match': 'W/"1"' });
  t.equal(deleted.status, 204);
  t.match(trail.of(requestId), [{ subtype: 'delete', outcome: '0', patients: [plan.nhsNumber], custodians: [ownId] }]);
  t.equal((await get(la, `Flag/${id}`)).status, 410);
  t.equal((await get(otherLa, `Flag/${foreign}`)).status, 200, "another authority's match is no match");
  t.equal((await la.request('DELETE', criteria)).status, 204, 'nothing is left to delete');
  t.equal((await la.request('DELETE', criteria, undefined, { 'if-match': 'W/"1"' })).status, 412);
  t.equal((await la.request('DELETE', criteria, undefined, { 'if-match': 'garbage' })).status, 400);

  const nhsNumber = freshNhsNumber();
  const two = await submit(la, freshPlan({ nhsNumber }), freshPlan({ nhsNumber, kind: kindOf('LAC') }));
  const several = await la.request<OperationOutcome>('DELETE', `Flag?patient=${nhsNumber}`);
  t.match(several, { status: 412, body: { issue: [{ code: 'multiple-matches' }] } });
  for (const kept of two) t.equal((await get(la, `Flag/${kept}`)).status, 200);
  t.equal((await la.request('DELETE', 'Flag')).status, 400, 'without criteria');
  t.equal((await la.request('DELETE', 'Flag?nonsense=1')).status, 400, 'with criteria that are not known');
  t.equal((await epr.request('DELETE', `Flag?patient=${nhsNumber}`)).status, 403);

  const bundle = await postBundle(la, 'transaction', [
    { request: { method: 'DELETE', url: `Flag?_id=${two[0]}` } },
    { request: { method: 'GET', url: `Flag/${two[1]}/_history?_elements=status` } },
    { request: { method: 'HEAD', url: `Flag/${two[1]}` } },
    { request: { method: 'GET', url: `Flag/${two[1]}`, ifNoneMatch: 'W/"1"' } },
    { request: { method: 'GET', url: `Flag/${two[1]}?_elements=status` } },
    { request: { method: 'GET', url: '_history?_count=1' } },
  ]);
  t.match(statusesOf(bundle), ['204 No Content', '200 OK', '200 OK', '304 Not Modified', '200 OK', '200 OK']);
  t.match(bundle.body.entry?.[1]?.resource, { resourceType: 'Bundle', type: 'history', total: 1 });
  t.notOk('resource' in (bundle.body.entry?.[2] ?? {}), 'HEAD');
  t.notOk('resource' in (bundle.body.entry?.[3] ?? {}), '304');
  t.match(bundle.body.entry?.[4]?.resource, { meta: { tag: [{ code: 'SUBSETTED' }] } });
  t.equal((await get(la, `Flag/${two[0]}`)).status, 410);
  const told = await postBundle(
    la,
    'batch',
    [{ resource: { ...buildFlag(plan), id: two[1] }, request: { method: 'DELETE', url: `Flag/${two[1]}` } }].map(
      ({ request }) => ({ request }),
    ),
    { prefer: 'return=OperationOutcome' },
  );
  t.match(outcomeOf(told.body.entry?.[0]), { issue: [{ severity: 'information' }] });
});

t.test('If-Match is honoured on every write, and garbage is refused before anything is looked up', async (t) => {
  const plan = freshPlan();
  const [id = ''] = await submit(la, plan);
  const criteria = `identifier=${encodeURIComponent(`${plan.referenceSystem}|${plan.reference}`)}`;
  const flag = { ...buildFlag(plan), id };
  const { id: _, ...unnamed } = flag;
  const patch = [{ op: 'test', path: '/status', value: 'active' }];
  const asJsonPatch = { 'content-type': 'application/json-patch+json' };
  const writes: readonly (readonly [string, string, unknown, Record<string, string>?])[] = [
    ['PUT', `Flag/${id}`, flag],
    ['PUT', `Flag?${criteria}`, unnamed],
    ['PUT', `Patient/${plan.nhsNumber}`, buildPatient(plan)],
    ['PATCH', `Flag/${id}`, patch, asJsonPatch],
    ['PATCH', `Flag?${criteria}`, patch, asJsonPatch],
    ['POST', 'Flag', buildFlag(freshPlan({ nhsNumber: plan.nhsNumber }))],
    ['POST', 'Patient', buildPatient(plan)],
    ['DELETE', `Flag/${id}`, undefined],
    ['DELETE', `Flag?${criteria}`, undefined],
  ];
  for (const [method, path, body, more = {}] of writes) {
    const status = async (ifMatch: string, at = path): Promise<number> =>
      (await la.request(method, at, body, { ...more, 'if-match': ifMatch })).status;
    t.equal(await status('W/"9"'), 412, `${method} ${path}`);
    for (const garbage of ['1', '"1"', 'W/1', 'W/"x"', '*', 'W/"1", W/"2"']) {
      t.equal(await status(garbage), 400, `${method} ${path} ${garbage}`);
    }
    const { id: requestId, headers } = namedRequest();
    const unknown = await la.request(method, path, body, { ...more, ...headers, 'if-none-match': '*' });
    t.match(unknown, { status: 400, body: { issue: [{ code: 'not-supported' }] } }, `${method} ${path} If-None-Match`);
    t.match(trail.of(requestId), [{ outcome: '4' }]);
    const absent = path.replace(id, 'never-there');
    if (absent !== path) t.equal(await status('garbage', absent), 400, `${method} of what is not there`);
  }
  t.equal((await get(la, `Flag/${id}`)).headers.get('etag'), 'W/"1"', 'nothing was written');
});

t.test('Prefer: return on every write', async (t) => {
  const plan = freshPlan();
  await la.request('PUT', `Patient/${plan.nhsNumber}`, buildPatient(plan));
  const made = await la.request<Flag>('POST', 'Flag', buildFlag(plan), { prefer: 'return=minimal' });
  t.strictSame([made.status, made.body], [201, undefined]);
  const location = (made.headers.get('location') ?? '').slice(baseUrl.length + 1);
  const id = location.split('/')[1] ?? '';
  const whole = await la.request<Flag>(
    'PUT',
    `Flag/${id}`,
    { ...buildFlag(plan), id },
    { prefer: 'return=representation' },
  );
  t.match(whole, { status: 200, body: { resourceType: 'Flag', id } });
  const told = await la.request('PUT', `Flag/${id}`, { ...buildFlag(plan), id }, { prefer: 'return=OperationOutcome' });
  t.match(told, { status: 200, body: { resourceType: 'OperationOutcome', issue: [{ severity: 'information' }] } });
  const deleted = await la.request('DELETE', `Flag/${id}`, undefined, { prefer: 'return=OperationOutcome' });
  t.match(deleted, { status: 200, body: { resourceType: 'OperationOutcome' } });
  t.equal((await la.request('DELETE', `Flag/${id}`, undefined, { prefer: 'return=minimal' })).status, 204);
});
