/** https://hl7.org/fhir/R4/http.html#patch */
import type { Flag, OperationOutcome, Patient, Subscription } from 'fhir/r4.js';
import t from 'tap';
import { openFhirClient } from '../../src/synthetic/fhir-client.ts';
import { buildFlag, buildPatient } from '../../src/synthetic/synthetic-plan.ts';
import { namedRequest, openAuditTrail } from '../support/audit-trail.ts';
import { openWorld } from '../support/running-server.ts';
import {
  codesOf,
  daysFromNow,
  freshPlan,
  idIn,
  kindOf,
  outcomeOf,
  postBundle,
  resourcesOf,
  statusesOf,
  submit,
} from '../support/submissions.ts';

const origin = 'https://subscriber.example.org';
const world = await openWorld(t, { subscriptionOrigins: [origin] });
const trail = openAuditTrail(t, world.folder);
const { baseUrl } = world.server;
const { la, otherLa, epr, ownId, otherId } = world;
const jsonPatch = { 'content-type': 'application/json-patch+json' };

const end = daysFromNow(-1);
const endingByJson = [
  { op: 'test', path: '/status', value: 'active' },
  { op: 'replace', path: '/status', value: 'inactive' },
  { op: 'add', path: '/period/end', value: end },
];
const operation = (...part: object[]) => ({ name: 'operation', part });
const text = (name: string, valueString: string) => ({ name, valueString });
const kind = (valueCode: string) => ({ name: 'type', valueCode });
const parameters = (...operations: object[]) => ({ resourceType: 'Parameters', parameter: operations });
const endingByPath = parameters(
  operation(kind('replace'), text('path', 'Flag.status'), { name: 'value', valueCode: 'inactive' }),
  operation(kind('add'), text('path', 'Flag.period'), text('name', 'end'), { name: 'value', valueDateTime: end }),
);

t.test('a plan is ended by either kind of patch: audited as an update, told to the other authority', async (t) => {
  for (const [body, headers] of [
    [endingByJson, jsonPatch],
    [endingByPath, {}],
  ] as const) {
    const plan = freshPlan();
    const [id = ''] = await submit(la, plan);
    await submit(otherLa, freshPlan({ nhsNumber: plan.nhsNumber }));
    const named = namedRequest();
    const answer = await la.request<Flag>('PATCH', `Flag/${id}`, body, { ...headers, ...named.headers });
    t.equal(answer.status, 200, JSON.stringify(answer.body));
    t.match(answer.body, { id, status: 'inactive', period: { start: plan.start, end }, meta: { versionId: '2' } });
    t.equal(answer.headers.get('etag'), 'W/"2"');
    t.match((await la.request('GET', `Flag/${id}`)).body, { status: 'inactive', period: { end } });
    const audits = trail.of(named.id);
    t.match(audits, [{ subtype: 'patch', outcome: '0', patients: [plan.nhsNumber], owed: [otherId] }]);
    t.match(audits[0]?.event, { action: 'U', meta: { profile: [/cpis-audit-event$/, /PatientUpdate$/] } });
    t.strictSame(audits[0]?.custodians.toSorted(), [ownId, otherId].toSorted());
  }
});

t.test('a patch that is malformed, does not apply, or leaves no valid plan changes nothing', async (t) => {
  const plan = freshPlan();
  const [id = ''] = await submit(la, plan);
  const replace = (path: string, value: unknown) => [{ op: 'replace', path, value }];
  const add = (path: string, value: unknown) => [{ op: 'add', path, value }];
  const future = daysFromNow(5);
  const cases: [body: unknown, status: number, expression?: string][] = [
    [{ op: 'remove', path: '/status' }, 400],
    [[{ op: 'remove' }], 400],
    [[{ op: 'test', path: '/status', value: 'inactive' }], 422],
    [[...endingByJson, { op: 'test', path: '/status', value: 'active' }], 422],
    [replace('/status', 'nonsense'), 422, 'Flag.status'],
    [replace('/status', 'inactive'), 422],
    [[...endingByJson.slice(0, 2), ...add('/period/end', future)], 422, 'Flag.period.end'],
    [add('/note', 'a note'), 422, 'Flag.note'],
    [replace('/id', 'other'), 422, 'Flag.id'],
    [replace('/resourceType', 'Patient'), 422, 'Flag.resourceType'],
    [replace('/meta/versionId', '7'), 422, 'Flag.meta'],
    [add('/meta/tag', [{ code: 'x' }]), 422, 'Flag.meta'],
    [replace('/subject/reference', `Patient/${freshPlan().nhsNumber}`), 422, 'Flag.subject'],
    [replace('/author/reference', `Organization/${otherId}`), 422, 'Flag.author'],
    [[{ op: 'remove', path: '/author' }], 422, 'Flag.author'],
    [[{ op: 'remove', path: '/period' }], 422, 'Flag.period'],
    [replace('/period', {}), 422, 'Flag.period'],
  ];
  for (const [body, status, expression] of cases) {
    const named = namedRequest();
    const answer = await la.request<OperationOutcome>('PATCH', `Flag/${id}`, body, { ...jsonPatch, ...named.headers });
    t.equal(answer.status, status, `${JSON.stringify(body)}: ${JSON.stringify(answer.body)}`);
    if (expression !== undefined)
      t.ok(
        answer.body.issue.some((issue) => issue.expression?.includes(expression)),
        expression,
      );
    t.match(trail.of(named.id), [{ subtype: 'patch', outcome: '4', owed: [] }]);
  }
  for (const [headers, status] of [
    [{ 'content-type': 'application/xml-patch+xml' }, 415],
    [{ 'content-type': 'text/plain' }, 415],
    [{ 'content-type': 'application/fhir+json' }, 400],
  ] as const) {
    const answer = await la.request('PATCH', `Flag/${id}`, endingByJson, headers);
    t.equal(answer.status, status);
    if (status === 415) t.match(answer.headers.get('accept-patch'), /application\/json-patch\+json/);
  }
  t.equal((await la.request('PATCH', `Flag/${id}`, endingByPath, jsonPatch)).status, 400);
  t.equal((await la.request('POST', 'Flag', endingByJson, jsonPatch)).status, 415);
  t.match((await la.request('GET', `Flag/${id}`)).body, { status: 'active', meta: { versionId: '1' } });
});

t.test('what is hidden answers a patch as what is absent, whatever the patch says', async (t) => {
  const plan = freshPlan();
  const [id = ''] = await submit(la, plan);
  const absent = freshPlan();
  const bodies = [endingByJson, [{ op: 'test', path: '/status', value: 'entered-in-error' }], [{ op: 'nonsense' }]];
  for (const body of bodies) {
    const answers = [];
    for (const path of [`Flag/${id}`, 'Flag/absent', `Patient/${plan.nhsNumber}`, `Patient/${absent.nhsNumber}`]) {
      for (const headers of [jsonPatch, { ...jsonPatch, 'if-match': 'W/"1"' }]) {
        const { status, body: outcome } = await otherLa.request('PATCH', path, body, headers);
        answers.push(JSON.stringify([status, outcome]));
      }
    }
    t.equal(new Set(answers).size, 1, answers.join());
  }
  t.equal((await epr.request('PATCH', `Flag/${id}`, endingByJson, jsonPatch)).status, 403);
  t.equal((await world.operator.request('PATCH', `Flag/${id}`, endingByJson, jsonPatch)).status, 403);
  t.equal((await la.request('PATCH', `AuditEvent/${id}`, endingByJson, jsonPatch)).status, 405, 'append-only');
});

t.test('If-Match, parallel patches, and a deleted plan', async (t) => {
  const plan = freshPlan();
  const [id = ''] = await submit(la, plan);
  const other = [{ op: 'add', path: '/identifier/-', value: { system: 'https://la.example.org/other', value: 'x' } }];
  const send = (ifMatch: string) => la.request('PATCH', `Flag/${id}`, other, { ...jsonPatch, 'if-match': ifMatch });
  t.equal((await send('W/"2"')).status, 412);
  t.equal((await send('garbage')).status, 400);
  const race = await Promise.all(Array.from({ length: 8 }, () => send('W/"1"')));
  t.strictSame(race.map(({ status }) => status).toSorted(), [200, ...new Array(7).fill(412)]);
  const adds = await Promise.all(
    Array.from({ length: 6 }, (_, index) => {
      const value = { system: 'https://la.example.org/other', value: `parallel-${index}` };
      return la.request('PATCH', `Flag/${id}`, [{ op: 'add', path: '/identifier/-', value }], jsonPatch);
    }),
  );
  t.strictSame(new Set(adds.map(({ status }) => status)), new Set([200]));
  const { body } = await la.request<Flag>('GET', `Flag/${id}`);
  t.equal(body.identifier?.length, 8, 'none of the parallel patches was lost');
  t.equal(body.meta?.versionId, '8');
  await la.request('DELETE', `Flag/${id}`);
  t.equal((await la.request('PATCH', `Flag/${id}`, other, jsonPatch)).status, 410);
});

t.test('conditional patch: one match is patched, none is not found, several are refused', async (t) => {
  const plan = freshPlan();
  const [id = ''] = await submit(la, plan);
  const criteria = (reference: string) =>
    `Flag?identifier=${encodeURIComponent(`${plan.referenceSystem}|${reference}`)}`;
  const answer = await la.request('PATCH', criteria(plan.reference), endingByPath);
  t.match(answer, { status: 200, body: { id, status: 'inactive' } });
  t.equal((await la.request('PATCH', criteria('nothing'), endingByPath)).status, 404);
  t.equal((await otherLa.request('PATCH', criteria(plan.reference), endingByPath)).status, 404, 'hidden is absent');
  await submit(la, freshPlan({ nhsNumber: plan.nhsNumber, kind: kindOf('LAC') }));
  const several = await la.request('PATCH', `Flag?patient=${plan.nhsNumber}`, endingByPath);
  t.strictSame([several.status, codesOf(several)], [412, ['multiple-matches']]);
  t.equal((await la.request('PATCH', 'Flag', endingByPath)).status, 400, 'no criteria');
});

t.test('a Patient: the rules of an update hold', async (t) => {
  const plan = freshPlan();
  await submit(la, plan);
  const path = `Patient/${plan.nhsNumber}`;
  const rename = [{ op: 'replace', path: '/name/0/family', value: 'Renamed' }];
  const renamed = await la.request('PATCH', path, rename, { ...jsonPatch, prefer: 'return=representation' });
  t.match(renamed, { status: 200, body: { name: [{ family: 'Renamed' }] } });
  const other = freshPlan();
  const number = [{ op: 'replace', path: '/identifier/0/value', value: other.nhsNumber }];
  t.equal((await la.request('PATCH', path, number, jsonPatch)).status, 400, 'the NHS number is the id');
  await submit(otherLa, freshPlan({ nhsNumber: plan.nhsNumber, family: 'Renamed' }));
  const born = (birthDate: string) => [{ op: 'replace', path: '/birthDate', value: birthDate }];
  t.equal((await la.request('PATCH', path, born('2001-01-01'), jsonPatch)).status, 422, 'an adult has no such plan');
  t.match((await la.request<Patient>('GET', path)).body, { birthDate: plan.birthDate, meta: { versionId: '2' } });
  t.equal(
    (await la.request('PATCH', path, born('2018-01-01'), jsonPatch)).status,
    200,
    'its own, whoever else holds one',
  );
  t.match((await otherLa.request<Patient>('GET', path)).body, { birthDate: plan.birthDate, meta: { versionId: '1' } });
  t.equal((await la.request('PATCH', 'Patient/9990000019', rename, jsonPatch)).status, 400, 'an invalid NHS number');
});

t.test('a Subscription: patched as it is read, its secrets kept and never tested', async (t) => {
  const made = await la.request('POST', 'Subscription', {
    resourceType: 'Subscription',
    status: 'off',
    reason: 'access notifications',
    criteria: 'AuditEvent?type=rest',
    channel: {
      type: 'rest-hook',
      endpoint: `${origin}/hook`,
      payload: 'application/fhir+json',
      header: ['X-Key: canary'],
    },
  });
  const id = idIn(made.headers.get('location'));
  const guess = [{ op: 'test', path: '/channel/header/0', value: 'X-Key: canary' }];
  t.equal((await la.request('PATCH', `Subscription/${id}`, guess, jsonPatch)).status, 422);
  const answer = await la.request<Subscription>(
    'PATCH',
    `Subscription/${id}`,
    [{ op: 'replace', path: '/reason', value: 'another reason' }],
    jsonPatch,
  );
  t.match(answer, { status: 200, body: { reason: 'another reason', status: 'off' } });
  t.notMatch(JSON.stringify(answer.body), /canary/);
  const moved = [{ op: 'replace', path: '/channel/endpoint', value: `${origin}/elsewhere` }];
  t.equal(
    (await la.request('PATCH', `Subscription/${id}`, moved, jsonPatch)).status,
    422,
    'a secret does not move along',
  );
});

t.test('scopes: u patches, and without r nothing is shown', async (t) => {
  const plan = freshPlan();
  const [id = ''] = await submit(la, plan);
  const [client] = world.registry.authorities;
  if (client === undefined) throw new Error('no client');
  const withScope = (scope: string) => openFhirClient(baseUrl, { ...client, scope });
  t.equal((await withScope('system/Flag.r').request('PATCH', `Flag/${id}`, endingByJson, jsonPatch)).status, 403);
  const blind = await withScope('system/Flag.u').request('PATCH', `Flag/${id}`, endingByJson, {
    ...jsonPatch,
    prefer: 'return=representation',
  });
  t.strictSame([blind.status, blind.body, blind.headers.get('etag')], [200, undefined, 'W/"2"']);
});

t.test('within Bundles: a Binary with a JSON Patch, or Parameters; by id or by criteria', async (t) => {
  const plans = [freshPlan(), freshPlan(), freshPlan()] as const;
  const [first = '', , third = ''] = await submit(la, ...plans);
  const binary = (patch: unknown, contentType = 'application/json-patch+json') => ({
    resourceType: 'Binary',
    contentType,
    data: Buffer.from(JSON.stringify(patch)).toString('base64'),
  });
  const criteria = `Flag?identifier=${encodeURIComponent(`${plans[1].referenceSystem}|${plans[1].reference}`)}`;
  const entries = [
    { resource: binary(endingByJson), request: { method: 'PATCH', url: `Flag/${first}` } },
    { resource: endingByPath, request: { method: 'PATCH', url: criteria } },
  ];
  for (const [index, type] of (['batch', 'transaction'] as const).entries()) {
    const named = namedRequest();
    const answer = await postBundle(la, type, entries.slice(index, index + 1), named.headers);
    t.strictSame(statusesOf(answer), ['200 OK'], JSON.stringify(answer.body));
    t.match(answer.body.entry?.[0]?.response, { etag: 'W/"2"' });
    t.match(trail.of(named.id), [{ subtype: 'patch', outcome: '0' }]);
  }
  for (const plan of plans.slice(0, 2)) {
    const seen = await epr.request<never>('GET', `Flag?patient=${plan.nhsNumber}`);
    t.match(resourcesOf(seen), [{ status: 'inactive' }]);
  }
  const url = `Flag/${third}`;
  const bad: [object, string][] = [
    [
      { resource: binary([{ op: 'test', path: '/status', value: 'inactive' }]), request: { method: 'PATCH', url } },
      '422',
    ],
    [{ resource: binary(endingByJson, 'application/json'), request: { method: 'PATCH', url } }, '400'],
    [{ resource: { ...binary(endingByJson), data: '!' }, request: { method: 'PATCH', url } }, '400'],
    [{ resource: buildFlag(plans[2]), request: { method: 'PATCH', url } }, '400'],
    [{ resource: binary(endingByJson), request: { method: 'PATCH', url, ifMatch: 'W/"9"' } }, '412'],
  ];
  const batch = await postBundle(
    la,
    'batch',
    bad.map(([entry]) => entry),
  );
  t.strictSame(
    statusesOf(batch).map((status) => status.slice(0, 3)),
    bad.map(([, status]) => status),
  );
  t.match(outcomeOf(batch.body.entry?.[2]).issue, [{ expression: ['Bundle.entry[2].resource.data'] }]);
  for (const [entry, status] of bad) {
    const whole = freshPlan();
    const answer = await postBundle(la, 'transaction', [
      { resource: buildPatient(whole), request: { method: 'PUT', url: `Patient/${whole.nhsNumber}` } },
      entry,
    ]);
    t.equal(String(answer.status), status, JSON.stringify(answer.body));
    t.equal((await la.request('GET', `Patient/${whole.nhsNumber}`)).status, 404, 'nothing stored');
  }
  const twice = await postBundle(la, 'transaction', [
    { resource: binary(endingByJson), request: { method: 'PATCH', url } },
    { resource: parameters(), request: { method: 'PATCH', url } },
  ]);
  t.equal(twice.status, 400, 'one identity twice');
  t.match((await la.request('GET', url)).body, { status: 'active' });
});
