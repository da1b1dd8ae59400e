import { createHook } from 'node:async_hooks';
import type { Bundle, Flag, OperationOutcome, Patient } from 'fhir/r4.js';
import t from 'tap';
import { nhsNumberSystem } from '../../src/cpis/nhs-number.ts';
import type { FhirClient } from '../../src/synthetic/fhir-client.ts';
import { buildFlag, buildPatient, buildRecord, type SyntheticPlan } from '../../src/synthetic/synthetic-plan.ts';
import { namedRequest, openAuditTrail } from '../support/audit-trail.ts';
import { openWorld } from '../support/running-server.ts';
import {
  codesOf,
  daysFromNow,
  endedPlan,
  freshNhsNumber,
  freshPlan,
  idIn,
  kindCodes,
  kindOf,
  outcomeOf,
  postBundle,
  resourcesOf,
  statusesOf,
  submit,
  unbornPlan,
} from '../support/submissions.ts';

const world = await openWorld(t, { settings: { CPIS_MAX_BUNDLE_ENTRIES: '40' } });
const trail = openAuditTrail(t, world.folder);
const { baseUrl } = world.server;
const { la, otherLa, epr } = world;

const seenByNhs = async (nhsNumber: string): Promise<Flag[]> =>
  resourcesOf(await epr.request<Bundle>('GET', `Flag?patient=${nhsNumber}`));
const post = (resource: { resourceType: string }, fullUrl?: string) => ({
  ...(fullUrl === undefined ? {} : { fullUrl }),
  resource,
  request: { method: 'POST', url: resource.resourceType },
});

t.test('batch: a bad record is refused with its reason, the others land', async (t) => {
  const known = freshPlan();
  await submit(la, known);
  const good = freshPlan();
  const wrongChild = freshPlan({
    nhsNumber: known.nhsNumber,
    birthDate: '2018-01-01',
    family: 'Elsewhere',
    reference: 'x',
  });
  const badNumber = freshPlan({ nhsNumber: '9990000019' });
  const mother = freshPlan({ birthDate: '1994-05-06', kind: kindOf('UCPP'), start: daysFromNow(-20) });
  const { id, headers } = namedRequest();
  const answer = await postBundle(la, 'batch', [wrongChild, good, badNumber, mother].flatMap(buildRecord), headers);
  t.equal(answer.status, 200);
  t.equal(answer.body.type, 'batch-response');
  t.strictSame(statusesOf(answer), [
    '409 Conflict',
    '422 Unprocessable Entity',
    '201 Created',
    '201 Created',
    '400 Bad Request',
    '422 Unprocessable Entity',
    '201 Created',
    '201 Created',
  ]);
  const [conflict, orphan, , , number, numberOfFlag] = answer.body.entry ?? [];
  t.match(outcomeOf(conflict).issue, [{ code: 'conflict', expression: ['Bundle.entry[0].resource.birthDate'] }]);
  t.match(outcomeOf(orphan).issue, [{ expression: ['Bundle.entry[1].resource.subject'] }]);
  t.match(outcomeOf(number).issue, [{ details: { coding: [{ code: 'INVALID_NHS_NUMBER' }] } }]);
  t.match(outcomeOf(numberOfFlag).issue, [{ expression: ['Bundle.entry[5].resource.subject'] }]);
  t.notMatch(JSON.stringify(answer.body), /9990000019|Elsewhere|2018-01-01|2019-03-04/, 'no value is repeated');
  const audits = trail.of(id);
  t.strictSame(audits.map((audit) => audit.outcome).sort(), ['0', '0', '0', '0', '4', '4', '4', '4']);
  t.equal((await seenByNhs(good.nhsNumber)).length, 1);
  t.strictSame(
    (await seenByNhs(known.nhsNumber)).map((flag) => flag.author?.reference),
    [`Organization/${world.registry.authorities[0]?.organisationId}`],
    'nothing of the wrong child was stored',
  );
  t.equal((await seenByNhs(mother.nhsNumber)).length, 1);
});

t.test('batch: order within a record does not matter, nor how its subject is written', async (t) => {
  const [plan, absolute] = [freshPlan(), freshPlan()];
  const absoluteFlag = { ...buildFlag(absolute), subject: { reference: `${baseUrl}/Patient/${absolute.nhsNumber}` } };
  const answer = await postBundle(la, 'batch', [
    post(buildFlag(plan)),
    post(absoluteFlag),
    { request: { method: 'GET', url: `Flag?patient=${plan.nhsNumber}` } },
    post(buildPatient(plan)),
    post(buildPatient(absolute)),
    { request: { method: 'GET', url: `${baseUrl}/Patient/${absolute.nhsNumber}` } },
  ]);
  t.strictSame(statusesOf(answer), ['201 Created', '201 Created', '200 OK', '201 Created', '201 Created', '200 OK']);
  t.match(answer.body.entry?.[2]?.resource, { total: 1 }, 'reads come after writes');
  t.match(answer.body.entry?.[0]?.response, {
    location: new RegExp(`^${baseUrl}/Flag/[^/]+/_history/1$`),
    etag: 'W/"1"',
  });
  t.match(await seenByNhs(absolute.nhsNumber), [{ subject: { reference: `Patient/${absolute.nhsNumber}` } }]);
});

t.test('batch: entries that cannot be read are refused in their place, and audited', async (t) => {
  const { id, headers } = namedRequest();
  const plan = freshPlan();
  const entries = [
    { request: { method: 'PATCH', url: 'Flag/abc' }, resource: buildFlag(plan) },
    { request: { method: 'HEAD', url: 'metadata' } },
    { request: { method: 'GET', url: 'metadata' } },
    { request: { method: 'GET', url: '/Flag?patient=1' } },
    { request: { method: 'GET', url: 'https://elsewhere.example.org/FHIR/R4/Flag/abc' } },
    { request: { method: 'GET', url: 'Flag/abc/1/_history' } },
    { request: { method: 'DELETE', url: 'Flag' } },
    { request: { method: 'POST', url: 'Flag/_search' }, resource: buildFlag(plan) },
    { request: { method: 'POST', url: 'Flag?_id=1' }, resource: buildFlag(plan) },
    { request: { method: 'GET', url: '../../oauth2/jwks' } },
  ];
  const answer = await postBundle(la, 'batch', entries, headers);
  t.strictSame(statusesOf(answer), new Array(entries.length).fill('400 Bad Request'));
  t.match(outcomeOf(answer.body.entry?.[9]).issue, [{ expression: ['Bundle.entry[9].request'] }]);
  t.strictSame(
    trail.of(id).map((audit) => audit.outcome),
    new Array(entries.length).fill('4'),
  );
});

t.test('batch: hostile content of one entry stays the matter of that entry', async (t) => {
  const plan = freshPlan();
  const answer = await postBundle(la, 'batch', [
    {
      resource: { resourceType: 'Patient', identifier: [{ value: { toString: 1, valueOf: 1 } }] },
      request: { method: 'POST', url: 'Patient' },
    },
    { resource: { resourceType: 'Flag', subject: null }, request: { method: 'POST', url: 'Flag' } },
    { resource: { resourceType: 'Patient', identifier: {} }, request: { method: 'POST', url: 'Patient' } },
    { resource: buildFlag(plan), request: { method: 'POST', url: 'Patient' } },
    ...buildRecord(plan),
  ]);
  if (answer.status === 200) t.strictSame(statusesOf(answer).slice(4), ['201 Created', '201 Created']);
  else t.ok(answer.status >= 400 && answer.status < 500, `refused as a whole: ${answer.status}`);
});

t.test('a Bundle that is none', async (t) => {
  const bodies: [unknown, number][] = [
    [{ resourceType: 'Bundle', type: 'collection' }, 400],
    [{ resourceType: 'Bundle' }, 400],
    [{ resourceType: 'Flag' }, 400],
    [[], 400],
    [{ resourceType: 'Bundle', type: 'batch', entry: {} }, 422],
    [{ resourceType: 'Bundle', type: 'batch', entry: [{}] }, 422],
    [{ resourceType: 'Bundle', type: 'batch', entry: [null] }, 422],
    [{ resourceType: 'Bundle', type: 'batch', total: 1 }, 422],
    [
      {
        resourceType: 'Bundle',
        type: 'transaction',
        entry: new Array(41).fill({ request: { method: 'GET', url: 'Flag' } }),
      },
      413,
    ],
  ];
  for (const [body, status] of bodies) {
    const { id, headers } = namedRequest();
    const answer = await la.request('POST', '', body, headers);
    t.equal(answer.status, status, JSON.stringify(body).slice(0, 80));
    t.equal(trail.of(id).length, 1, 'and audited');
  }
  for (const type of ['batch', 'transaction'] as const) {
    const { id, headers } = namedRequest();
    t.equal((await postBundle(la, type, [], headers)).status, 422, 'an empty list is no JSON of FHIR');
    t.equal((await la.request('POST', '', { resourceType: 'Bundle', type }, headers)).status, 200);
    t.strictSame(
      trail.of(id).map((audit) => [audit.subtype, audit.outcome]),
      [
        [type, '4'],
        [type, '0'],
      ],
      `a ${type} without entries is audited as one`,
    );
  }
  const nested = await postBundle(la, 'batch', [post({ resourceType: 'Bundle' })]);
  t.strictSame(statusesOf(nested), ['404 Not Found']);
});

t.test('transaction: references by urn:uuid, all in one unit, each entry audited', async (t) => {
  const plan = freshPlan();
  const second = freshPlan({ nhsNumber: plan.nhsNumber, kind: kindOf('LAC'), start: '2025-02-28' });
  const urn = 'urn:uuid:0b1f3c9e-5b0e-4b5f-9a0b-1c2d3e4f5a6b';
  const { id, headers } = namedRequest();
  const answer = await postBundle(
    la,
    'transaction',
    [
      post({ ...buildFlag(plan), subject: { reference: urn } } as Flag),
      post({ ...buildFlag(second), subject: { reference: urn } } as Flag),
      post(buildPatient(plan), urn),
      { request: { method: 'GET', url: `Flag?patient=${plan.nhsNumber}` } },
    ],
    headers,
  );
  t.equal(answer.status, 200, JSON.stringify(answer.body));
  t.equal(answer.body.type, 'transaction-response');
  t.strictSame(statusesOf(answer), ['201 Created', '201 Created', '201 Created', '200 OK']);
  t.match(answer.body.entry?.[3]?.resource, { total: 2 }, 'a read sees what the transaction wrote');
  t.strictSame(
    trail.of(id).map((audit) => audit.subtype),
    ['create', 'create', 'create', 'search-type'],
  );
  t.equal((await seenByNhs(plan.nhsNumber)).length, 2);
  const ids = (answer.body.entry ?? []).slice(0, 2).map((entry) => idIn(entry.response?.location));
  t.equal(new Set(ids).size, 2);
});

t.test('transaction: one bad entry and nothing is stored', async (t) => {
  const bad: [string, number, unknown[]][] = [];
  const add = (name: string, status: number, make: (good: unknown[]) => unknown[]): void => {
    bad.push([name, status, make([])]);
  };
  add('a rule of CP-IS', 422, () => {
    const ended = freshPlan({ end: daysFromNow(3) });
    return buildRecord(ended);
  });
  add('an invalid NHS number', 400, () => buildRecord(freshPlan({ nhsNumber: '9990000019' })));
  add('a Flag without its Patient', 422, () => buildRecord(freshPlan()).slice(1));
  add('a reference to nothing', 422, () => {
    const plan = freshPlan();
    const subject = { reference: 'urn:uuid:00000000-0000-4000-8000-000000000000' };
    return [post(buildPatient(plan)), post({ ...buildFlag(plan), subject } as Flag)];
  });
  add('an unknown method', 400, () => [{ request: { method: 'GET', url: 'metadata' } }]);
  add('an unlisted type', 404, () => [post({ resourceType: 'Observation' })]);
  add('a read of an unlisted type', 404, () => [{ request: { method: 'GET', url: 'Task/abc' } }]);
  add('a history that there is not', 405, () => [{ request: { method: 'GET', url: 'AuditEvent/abc/_history' } }]);
  add('an author of another authority', 403, () => {
    const plan = freshPlan();
    const author = { reference: `Organization/${world.registry.authorities[1]?.organisationId}` };
    return [post(buildPatient(plan)), post({ ...buildFlag(plan), author } as Flag)];
  });
  add('a version that is not the current one', 412, () => {
    const plan = freshPlan();
    return [
      { resource: buildPatient(plan), request: { method: 'PUT', url: `Patient/${plan.nhsNumber}`, ifMatch: 'W/"7"' } },
    ];
  });
  for (const [name, status, entries] of bad) {
    const good = freshPlan();
    const { id, headers } = namedRequest();
    const answer = await postBundle(la, 'transaction', [...buildRecord(good), ...entries], headers);
    t.equal(answer.status, status, `${name}: ${JSON.stringify(answer.body)}`);
    t.match(answer.body, { resourceType: 'OperationOutcome', issue: [{ severity: 'error' }] });
    t.match(JSON.stringify(answer.body), /Bundle\.entry\[[23]\]/, 'the issue names the entry');
    t.strictSame(
      trail.of(id).map((audit) => [audit.subtype, audit.outcome]),
      [['transaction', '4']],
      'one refusal is audited and no write',
    );
    t.equal((await la.request('GET', `Patient/${good.nhsNumber}`)).status, 404, `${name}: nothing stored`);
  }
});

t.test('a refusal names the patients that the request named, for a caller that is known', async (t) => {
  const plan = freshPlan();
  const other = freshPlan();
  const { nhsNumber } = plan;
  const nhsNumberSystem = encodeURIComponent(`https://fhir.nhs.uk/Id/nhs-number|${nhsNumber}`);
  const patientsOf = async (
    client: FhirClient,
    method: string,
    path: string,
    body?: unknown,
    more: Record<string, string> = {},
  ): Promise<(readonly string[])[]> => {
    const { id, headers } = namedRequest();
    await client.request(method, path, body, { ...headers, ...more });
    return trail.of(id).map((audit) => (audit.outcome === '4' ? audit.patients : ['not refused']));
  };
  const refused: [FhirClient, string, string, unknown?, Record<string, string>?][] = [
    [epr, 'GET', `Patient/${nhsNumber}`],
    [la, 'GET', `Patient/${nhsNumber}/_history/1`],
    [la, 'DELETE', `Patient/${nhsNumber}`],
    [epr, 'GET', `Flag?patient=${nhsNumber}&nonsense=1`],
    [epr, 'GET', `Flag?patient=Patient/${nhsNumber}&patient=9990000019&nonsense=1`],
    [epr, 'GET', `Flag?subject:Patient.identifier=${nhsNumberSystem}&nonsense=1`],
    [la, 'GET', `Patient?identifier=${nhsNumberSystem}&_sort=nonsense`],
    [la, 'GET', `Flag?patient=${nhsNumber}`, undefined, { isunscheduledaccessevent: 'maybe' }],
    [la, 'POST', 'Flag', buildFlag(plan)],
    [epr, 'POST', 'Patient', buildPatient(plan)],
    [epr, 'PUT', `Patient/${nhsNumber}`, buildPatient(plan)],
    [la, 'POST', '', { resourceType: 'Bundle', type: 'transaction', entry: [post(buildFlag(plan))] }],
  ];
  for (const [client, method, path, body, more] of refused) {
    t.strictSame(await patientsOf(client, method, path, body, more), [[nhsNumber]], `${method} ${path}`);
  }
  const both = [
    post(buildFlag(plan)),
    post(buildFlag(other)),
    { request: { method: 'GET', url: `Patient/${nhsNumber}` } },
  ];
  const bundle = (type: string) => ({ resourceType: 'Bundle', type, entry: both });
  t.strictSame(await patientsOf(la, 'POST', '', bundle('transaction')), [[nhsNumber, other.nhsNumber]]);
  t.strictSame((await patientsOf(la, 'POST', '', bundle('batch'))).sort(), [
    [nhsNumber],
    [nhsNumber],
    [other.nhsNumber],
  ]);
  const none: unknown[] = [
    { resourceType: 'Flag', subject: [nhsNumber] },
    { resourceType: 'Patient', identifier: { value: nhsNumber } },
    { resourceType: 'Patient', identifier: [null, 1, { value: { value: nhsNumber } }, { value: '9990000019' }] },
    { resourceType: 'Bundle', type: 'batch', entry: { resource: buildFlag(plan) } },
    [buildFlag(plan)],
    { resourceType: 'Flag', subject: { reference: `${'a'.repeat(1_000_000)}/` } },
    null,
  ];
  for (const body of none) {
    t.strictSame(await patientsOf(la, 'POST', 'Flag', body), [[]], JSON.stringify(body).slice(0, 80));
  }
  const elsewhere = encodeURIComponent(`https://elsewhere.example.org|${nhsNumber}`);
  t.strictSame(await patientsOf(epr, 'GET', `Flag?patient:identifier=${elsewhere}`), [[]], 'a number of another kind');
  const { id, headers } = namedRequest();
  await fetch(`${baseUrl}/Flag?patient=${nhsNumber}`, { headers });
  t.strictSame(
    trail.of(id).map((audit) => audit.patients),
    [[]],
    'who has no token puts nothing on a patient',
  );
});

t.test('transaction: an identifier that is taken is told of at its entry', async (t) => {
  const known = freshPlan();
  await submit(la, known);
  const fresh = freshPlan({ nhsNumber: known.nhsNumber, kind: kindOf('LAC'), start: daysFromNow(-20) });
  const answer = await postBundle(la, 'transaction', [
    post(buildFlag(fresh)),
    { request: { method: 'GET', url: `Patient/${known.nhsNumber}` } },
    post(buildFlag({ ...endedPlan(0), nhsNumber: known.nhsNumber, kind: kindOf('LAC'), reference: known.reference })),
  ]);
  t.equal(answer.status, 409);
  t.match(answer.body, { issue: [{ code: 'duplicate', expression: ['Bundle.entry[2].resource.identifier'] }] });
});

t.test('transaction: all bad entries are reported at once, and nothing is stored', async (t) => {
  const [good, future, foreign] = [freshPlan(), freshPlan({ end: daysFromNow(3) }), freshPlan()];
  const author = { reference: `Organization/${world.otherId}` };
  const badFlag = { ...buildFlag(foreign), author, status: 'unheard-of' };
  const { id, headers } = namedRequest();
  const answer = await postBundle(
    la,
    'transaction',
    [
      ...buildRecord(good),
      ...buildRecord(future),
      ...buildRecord(freshPlan({ birthDate: '1899-01-01' })),
      post(buildPatient(foreign)),
      post(badFlag),
      { request: { method: 'DELETE', url: 'Observation/abc' } },
      { resource: buildPatient(freshPlan()), request: { method: 'PUT', url: `Patient/${good.nhsNumber}` } },
      { request: { method: 'GET', url: 'Flag?unknown-parameter=x&_count=-1' } },
      { request: { method: 'GET', url: 'Task/abc' } },
    ],
    headers,
  );
  t.equal(answer.status, 422, 'they do not agree on a status');
  const at = (answer.body as unknown as OperationOutcome).issue.map(({ expression }) => expression?.[0]);
  t.strictSame(at.sort(), [
    'Bundle.entry[10].request',
    'Bundle.entry[11].request',
    'Bundle.entry[3].resource.period.end',
    'Bundle.entry[4].resource.birthDate',
    'Bundle.entry[7].resource.status',
    'Bundle.entry[8].request',
    'Bundle.entry[9].resource.id',
  ]);
  t.strictSame(
    trail.of(id).map((audit) => [audit.subtype, audit.outcome]),
    [['transaction', '4']],
    'one refusal is audited and no write',
  );
  for (const { nhsNumber } of [good, future, foreign]) {
    t.equal((await la.request('GET', `Patient/${nhsNumber}`)).status, 404, 'nothing stored');
  }
});

t.test(
  'transaction: what depends on a bad entry is no fault of its own, but its own faults are reported',
  async (t) => {
    const fullUrl = 'urn:uuid:7b1f3c9e-5b0e-4b5f-9a0b-1c2d3e4f5a6b';
    const plan = freshPlan({ birthDate: '1899-01-01' });
    const toFullUrl = { ...buildFlag(plan), subject: { reference: fullUrl } };
    const conditional = `Patient?identifier=${encodeURIComponent(`${nhsNumberSystem}|${plan.nhsNumber}`)}`;
    const answer = await postBundle(la, 'transaction', [
      post(buildPatient(plan), fullUrl),
      post(toFullUrl),
      post(buildFlag(freshPlan({ nhsNumber: plan.nhsNumber }))),
      post({ ...buildFlag(freshPlan()), subject: { reference: conditional } } as Flag),
      post({ ...buildFlag(freshPlan({ end: daysFromNow(3) })), subject: { reference: fullUrl } } as Flag),
      { request: { method: 'GET', url: `Patient/${plan.nhsNumber}` } },
      // Nor is one that refers to an entry that cannot be read.
      {
        fullUrl: 'urn:uuid:8c1f3c9e-5b0e-4b5f-9a0b-1c2d3e4f5a6b',
        resource: buildPatient(freshPlan()),
        request: { method: 'POST', url: 'Patient?x=1' },
      },
      post({
        ...buildFlag(freshPlan()),
        subject: { reference: 'urn:uuid:8c1f3c9e-5b0e-4b5f-9a0b-1c2d3e4f5a6b' },
      } as Flag),
    ]);
    t.equal(answer.status, 422);
    const at = (answer.body as unknown as OperationOutcome).issue.map(({ expression }) => expression?.[0]);
    t.strictSame(at.sort(), [
      'Bundle.entry[0].resource.birthDate',
      'Bundle.entry[4].resource.period.end',
      'Bundle.entry[6].request',
    ]);
  },
);

t.test('transaction: the status that all bad entries share, at most 100 issues, every taken identifier', async (t) => {
  const missing = Array.from({ length: 3 }, (_, at) => ({ request: { method: 'DELETE', url: `Flag/none-${at}` } }));
  const notFound = await postBundle(la, 'transaction', missing);
  t.equal(notFound.status, 404);
  t.match(notFound.body, { issue: { length: 3 } });

  const plan = freshPlan();
  const faulty = {
    ...buildFlag(plan),
    status: 'x',
    code: { coding: [{ code: 'y' }] },
    period: { start: 'z', end: 'z' },
  };
  const many = await postBundle(la, 'transaction', [
    post(buildPatient(plan)),
    ...Array.from({ length: 39 }, () => post(faulty)),
  ]);
  t.equal(many.status, 422);
  t.match(many.body, { issue: { length: 100 } });

  const known = [freshPlan(), freshPlan()];
  await submit(la, ...known);
  const taken = await postBundle(
    la,
    'transaction',
    known.flatMap(({ nhsNumber, reference }) => [
      post(buildFlag(freshPlan({ nhsNumber, kind: kindOf('LAC') }))),
      post(buildFlag(freshPlan({ nhsNumber, kind: kindOf('LAC'), start: '2020-01-01', end: '2020-02-01', reference }))),
    ]),
  );
  t.equal(taken.status, 409);
  t.match(taken.body, {
    issue: [1, 3].map((index) => ({ code: 'duplicate', expression: [`Bundle.entry[${index}].resource.identifier`] })),
  });
});

t.test('transaction: the same thing twice is refused', async (t) => {
  const plan = freshPlan();
  const [patient, flag] = buildRecord(plan);
  const cases: [string, unknown[]][] = [
    ['two conditional updates of one plan', [patient, flag, flag]],
    ['two creates with one identifier', [patient, post(buildFlag(plan)), post(buildFlag(plan))]],
    ['two different Patients under one number', [patient, post(buildPatient({ ...plan, family: 'Other' }))]],
    [
      'two fullUrls',
      [
        post(buildPatient(plan), 'urn:uuid:0b1f3c9e-5b0e-4b5f-9a0b-1c2d3e4f5a6b'),
        post(buildFlag(plan), 'urn:uuid:0b1f3c9e-5b0e-4b5f-9a0b-1c2d3e4f5a6b'),
      ],
    ],
  ];
  for (const [name, entries] of cases) {
    const answer = await postBundle(la, 'transaction', entries);
    t.ok([400, 409, 412, 422].includes(answer.status), `${name}: ${answer.status} ${codesOf(answer)}`);
    t.equal((await la.request('GET', `Patient/${plan.nhsNumber}`)).status, 404, `${name}: nothing stored`);
  }
});

t.test('transaction: deletes, amends and creates on one child together; parallel ones stay whole', async (t) => {
  const first = freshPlan();
  const [id = ''] = await submit(la, first);
  const next = freshPlan({ nhsNumber: first.nhsNumber, kind: kindOf('LAC') });
  const answer = await postBundle(la, 'transaction', [
    post(buildFlag(next)),
    { request: { method: 'DELETE', url: `Flag/${id}` } },
    {
      resource: buildPatient({ ...first, given: 'Bea' }),
      request: { method: 'PUT', url: `Patient/${first.nhsNumber}` },
    },
  ]);
  t.strictSame(statusesOf(answer), ['201 Created', '204 No Content', '200 OK'], JSON.stringify(answer.body));
  t.match(await seenByNhs(first.nhsNumber), [{ code: { coding: [kindOf('LAC')] } }]);
  const { body } = await la.request<Patient>('GET', `Patient/${first.nhsNumber}`);
  t.match(body, { name: [{ given: ['Bea'] }], meta: { versionId: '2' } });

  const nhsNumber = freshNhsNumber();
  const rounds = await Promise.all(
    Array.from({ length: 8 }, () => {
      const plan = unbornPlan({ nhsNumber });
      return postBundle(la, 'transaction', [post(buildPatient(plan)), post(buildFlag(plan))]);
    }),
  );
  t.strictSame(new Set(rounds.map((round) => round.status)), new Set([200]));
  t.equal((await seenByNhs(nhsNumber)).length, 8);
});

/** What was answered, and how often others were let have their turn of the event loop meanwhile. */
async function countTurns<T>(ask: () => Promise<T>): Promise<{ answer: T; turns: number }> {
  let turns = 0;
  const hook = createHook({
    init(_, type) {
      if (type === 'Immediate') turns += 1;
    },
  }).enable();
  const answer = await ask();
  hook.disable();
  return { answer, turns };
}

t.test('transaction: a thousand plans on one child leave other requests their turn', async (t) => {
  const large = await openWorld(t, { settings: { CPIS_MAX_BUNDLE_ENTRIES: '1000' } });
  const [submitter] = large.authorities as [FhirClient];
  const nhsNumber = freshNhsNumber();
  const plans = Array.from({ length: 999 }, () => unbornPlan({ nhsNumber }));
  const [first] = plans as [SyntheticPlan];
  await submitter.request('GET', `Patient/${nhsNumber}`);
  const entries = [post(buildPatient(first)), ...plans.map((plan) => post(buildFlag(plan)))];
  const { answer, turns } = await countTurns(() => postBundle(submitter, 'transaction', entries));
  t.strictSame(new Set(statusesOf(answer)), new Set(['201 Created']));
  t.ok(turns >= 10, `others had ${turns} turns`);
  const page = await submitter.request<Bundle>('GET', `Flag?patient=${nhsNumber}&_summary=count`);
  t.equal(page.body.total, 999);
});

t.test('patches of a Bundle are bounded together, and each leaves other requests their turn', async (t) => {
  const patchOf = (paths: readonly string[]) => ({
    resourceType: 'Parameters',
    parameter: paths.map((path) => ({
      name: 'operation',
      part: [
        { name: 'type', valueCode: 'delete' },
        { name: 'path', valueString: path },
      ],
    })),
  });
  const entryOf = (paths: readonly string[]) => ({
    resource: patchOf(paths),
    request: { method: 'PATCH', url: 'Flag/there-is-none' },
  });
  const own = (entry: number) =>
    Array.from({ length: 3 }, (_, index) => `Flag.identifier.where(value = '${entry}-${index}')`);
  for (const type of ['batch', 'transaction'] as const) {
    const { id, headers } = namedRequest();
    const many = Array.from({ length: 34 }, (_, entry) => entryOf(own(entry)));
    const refused = await postBundle(la, type, many, headers);
    t.equal(refused.status, 413, `${type}: 102 paths`);
    t.match(refused.body, { issue: [{ code: 'too-costly', expression: ['Bundle.entry'] }] });
    t.match(trail.of(id), [{ outcome: '4' }]);
    t.not((await postBundle(la, type, many.slice(1))).status, 413, '99 paths');
  }
  const long = new Array(50).fill('Flag.language');
  const large = await openWorld(t, { settings: { CPIS_MAX_BUNDLE_ENTRIES: '1000' } });
  const [submitter] = large.authorities as [FhirClient];
  const ask = (count: number) => postBundle(submitter, 'batch', new Array(count).fill(entryOf(long)));
  t.equal((await ask(101)).status, 413, '5,050 operations');
  const { answer, turns } = await countTurns(() => ask(100));
  t.strictSame(new Set(statusesOf(answer)), new Set(['404 Not Found']));
  t.ok(turns >= 5, `others had ${turns} turns`);
  const odd = [
    { resourceType: 'Parameters', parameter: 7 },
    { resourceType: 'Parameters', parameter: [null, { part: 'x' }] },
  ];
  const entries = odd.map((resource) => ({ resource, request: { method: 'PATCH', url: 'Flag/there-is-none' } }));
  t.strictSame(statusesOf(await postBundle(la, 'batch', entries)), ['400 Bad Request', '400 Bad Request']);
});

t.test('Prefer: return within Bundles', async (t) => {
  const plan = freshPlan();
  const plain = await postBundle(la, 'batch', buildRecord(plan));
  t.notOk(plain.body.entry?.some((entry) => entry.resource !== undefined));
  const again = freshPlan();
  const full = await postBundle(la, 'transaction', buildRecord(again), { prefer: 'return=representation' });
  t.match(full.body.entry?.[0]?.resource, { resourceType: 'Patient', id: again.nhsNumber });
  t.match(full.body.entry?.[1]?.resource, { resourceType: 'Flag', status: 'active' });
  const unchanged = await postBundle(la, 'batch', buildRecord(again));
  t.match(unchanged.body.entry, [{ response: { etag: 'W/"1"' } }, { response: { etag: 'W/"1"' } }], 'no new version');
  const renamed = await postBundle(la, 'batch', buildRecord({ ...again, family: 'Renamed' }));
  t.strictSame(statusesOf(renamed), ['200 OK', '200 OK']);
  t.match(outcomeOf(renamed.body.entry?.[0]).issue, [
    { severity: 'warning', expression: ['Bundle.entry[0].resource.name'] },
  ]);
});

t.test('a care provider in a Bundle: each entry is authorised and audited as on its own', async (t) => {
  const [plan, unseen] = [freshPlan(), freshPlan()];
  await submit(la, plan);
  const { id, headers } = namedRequest();
  const answer = await postBundle(
    epr,
    'batch',
    [
      { request: { method: 'GET', url: `Flag?patient=${plan.nhsNumber}` } },
      { request: { method: 'GET', url: `Flag?patient=${unseen.nhsNumber}` } },
      { request: { method: 'GET', url: 'Flag?status=active' } },
      { request: { method: 'GET', url: `Patient/${plan.nhsNumber}` } },
      { request: { method: 'GET', url: `Patient/${unseen.nhsNumber}` } },
      ...buildRecord(unseen),
    ],
    headers,
  );
  t.strictSame(statusesOf(answer), [
    '200 OK',
    '200 OK',
    '400 Bad Request',
    '200 OK',
    '404 Not Found',
    '403 Forbidden',
    '403 Forbidden',
  ]);
  const own = world.registry.authorities[0]?.organisationId ?? '';
  const audits = trail.of(id);
  t.equal(audits.length, 7);
  t.strictSame(
    audits.filter((audit) => audit.owed.length > 0).map((audit) => audit.owed),
    [[own], [own]],
  );
});

t.test(
  'batch: the plan of a refused Patient is refused, also from an authority that has matched the child before',
  async (t) => {
    const plan = freshPlan();
    await submit(la, plan);
    const record = buildRecord({ ...plan, birthDate: '2001-02-03', family: 'Other', reference: 'wrong-child' });
    const answer = await postBundle(la, 'batch', record);
    t.strictSame(statusesOf(answer), ['409 Conflict', '422 Unprocessable Entity']);
    const seen = await epr.request<Bundle>('GET', `Flag?patient=${plan.nhsNumber}`);
    t.equal(seen.body.total, 1, 'nothing of the record was stored');
  },
);

t.test('transaction: two entries under one condition are not both created', async (t) => {
  const plan = freshPlan();
  await submit(la, plan);
  const ifNoneExist = `patient=${plan.nhsNumber}&code=http://snomed.info/sct|${kindCodes.LAC}`;
  const entries = ['one', 'two'].map((reference) => ({
    resource: buildFlag({ ...plan, kind: kindOf('LAC'), reference }),
    request: { method: 'POST' as const, url: 'Flag', ifNoneExist },
  }));
  const answer = await postBundle(la, 'transaction', entries);
  t.equal(answer.status, 400);
  const seen = await epr.request<Bundle>('GET', `Flag?patient=${plan.nhsNumber}`);
  t.equal(seen.body.total, 1);
});

t.test(
  'transaction: conditional references mean one resource that the caller may search, or nothing is stored',
  async (t) => {
    const number = (nhsNumber: string) => `Patient?identifier=https://fhir.nhs.uk/Id/nhs-number|${nhsNumber}`;
    const own = world.registry.authorities[0]?.organisationId ?? '';
    const plan = freshPlan();
    const answer = await postBundle(la, 'transaction', [
      {
        ...post({
          ...buildFlag(plan),
          subject: { reference: number(plan.nhsNumber) },
          author: { reference: `Organization?_id=${own}` },
        } as Flag),
      },
      post(buildPatient(plan)),
    ]);
    t.strictSame(statusesOf(answer), ['201 Created', '201 Created'], JSON.stringify(answer.body));
    const [seen] = await seenByNhs(plan.nhsNumber);
    t.match(seen, {
      subject: { reference: `Patient/${plan.nhsNumber}` },
      author: { reference: `Organization/${own}` },
    });

    const again = { ...plan, reference: 'again', kind: kindOf('LAC') };
    const known = await postBundle(la, 'transaction', [
      post({ ...buildFlag(again), subject: { reference: `Patient?family=Testchild&_id=${plan.nhsNumber}` } } as Flag),
    ]);
    t.strictSame(statusesOf(known), ['201 Created']);

    const others = freshPlan();
    await submit(otherLa, others);
    const refused: [string, number][] = [
      [`Patient?_id=${others.nhsNumber}`, 412],
      [`Patient?_id=${freshNhsNumber()}`, 412],
      ['Patient?birthdate=2019-03-04', 412],
      [number('9990000019'), 400],
      [number(others.nhsNumber), 422],
      [number(freshNhsNumber()), 422],
      ['Patient?nonsense=1', 400],
      ['Observation?code=1', 403],
    ];
    for (const [reference, status] of refused) {
      const whole = freshPlan();
      const { status: answered, body } = await postBundle(la, 'transaction', [
        post(buildPatient(whole)),
        post({ ...buildFlag(whole), subject: { reference } } as Flag),
      ]);
      t.equal(answered, status, `${reference}: ${JSON.stringify(body)}`);
      t.match(JSON.stringify(body), /Bundle\.entry\[1\]/);
      t.equal((await la.request('GET', `Patient/${whole.nhsNumber}`)).status, 404, 'nothing stored');
    }
    const [hidden, unknown] = [others.nhsNumber, freshNhsNumber()].map((nhsNumber) =>
      postBundle(la, 'transaction', [post({ ...buildFlag(plan), subject: { reference: number(nhsNumber) } } as Flag)]),
    );
    t.strictSame((await hidden)?.body, (await unknown)?.body, 'hidden is absent');
  },
);

t.test('transaction: a read that would fail refuses the whole, before anything is stored or disclosed', async (t) => {
  const known = freshPlan();
  const hidden = freshPlan();
  const [id = ''] = await submit(la, known);
  const [hiddenId = ''] = await submit(otherLa, hidden);
  const reads: [string, number][] = [
    ['Flag/absent', 404],
    [`Flag/${hiddenId}`, 404],
    [`Patient/${hidden.nhsNumber}`, 404],
    ['Patient/9990000019', 400],
    [`Flag/${id}/_history/7`, 404],
    ['Flag?_sort=nonsense', 400],
    ['Flag?patient=9990000019', 400],
    ['Organization/nothing', 404],
  ];
  for (const [url, status] of reads) {
    const plan = freshPlan();
    const { id: requestId, headers } = namedRequest();
    const entries = [
      ...buildRecord(plan),
      { request: { method: 'GET', url: `Flag/${id}` } },
      { request: { method: 'GET', url } },
    ];
    const answer = await postBundle(la, 'transaction', entries, headers);
    t.equal(answer.status, status, `${url}: ${JSON.stringify(answer.body)}`);
    t.match(JSON.stringify(answer.body), /Bundle\.entry\[3\]/);
    t.notMatch(JSON.stringify(answer.body), /period/, 'nothing is disclosed');
    t.strictSame(
      trail.of(requestId).map(({ subtype, outcome }) => [subtype, outcome]),
      [['transaction', '4']],
    );
    t.equal((await la.request('GET', `Patient/${plan.nhsNumber}`)).status, 404, 'nothing is stored');
  }
  const deleted = await postBundle(la, 'transaction', [
    { request: { method: 'DELETE', url: `Flag/${id}` } },
    { request: { method: 'GET', url: `Flag/${id}` } },
  ]);
  t.equal(deleted.status, 410, 'a read sees what the transaction would leave');
  t.equal((await la.request('GET', `Flag/${id}`)).status, 200);
  const refusedForNhs = await postBundle(epr, 'transaction', [
    { request: { method: 'GET', url: `Flag?patient=${known.nhsNumber}` } },
    { request: { method: 'GET', url: 'Flag?status=active' } },
  ]);
  t.equal(refusedForNhs.status, 400);
  const { id: requestId, headers } = namedRequest();
  const plan = freshPlan();
  const good = await postBundle(
    la,
    'transaction',
    [
      ...buildRecord(plan),
      { request: { method: 'GET', url: `Patient/${plan.nhsNumber}` } },
      { request: { method: 'GET', url: `Patient/${plan.nhsNumber}/_history/1` } },
      { request: { method: 'GET', url: `Patient/${plan.nhsNumber}/Flag` } },
    ],
    headers,
  );
  t.strictSame(
    statusesOf(good),
    ['201 Created', '201 Created', '200 OK', '200 OK', '200 OK'],
    JSON.stringify(good.body),
  );
  t.strictSame(
    trail.of(requestId).map(({ subtype }) => subtype),
    ['create', 'create', 'read', 'vread', 'search-type'],
    'an upsert that creates is a create; each read is audited',
  );
});

t.test('reads of one Bundle answer so much, and those after that are refused in their entry', async (t) => {
  for (let at = 0; at < 13; at += 1) await submit(la, ...Array.from({ length: 20 }, () => freshPlan()));
  // HEAD is as much work, and leaves out of the response what would be validated here for seconds.
  const read = { request: { method: 'HEAD', url: 'Flag?_count=250&_include=Flag:patient' } };
  const entries = Array.from({ length: 40 }, () => read);
  const { id, headers } = namedRequest();
  const answer = await postBundle(la, 'transaction', entries, headers);
  t.equal(answer.status, 200);
  const statuses = statusesOf(answer);
  const answered = statuses.filter((status) => status === '200 OK').length;
  t.ok(answered > 20 && answered < 40, `${answered} are answered`);
  t.strictSame(
    statuses,
    entries.map((_, at) => (at < answered ? '200 OK' : '400 Bad Request')),
  );
  t.match(outcomeOf(answer.body.entry?.at(-1)).issue, [{ code: 'too-costly' }]);
  t.strictSame(
    trail.of(id).map(({ outcome }) => outcome),
    entries.map((_, at) => (at < answered ? '0' : '4')),
    'each is audited',
  );
});
