import { writeFileSync } from 'node:fs';
import type { AuditEvent, Bundle, Flag, Patient } from 'fhir/r4.js';
import t from 'tap';
import { addMonths, londonDate } from '../../src/cpis/london-date.ts';
import { type FhirClient, openFhirClient } from '../../src/synthetic/fhir-client.ts';
import { buildFlag, buildPatient, buildRecord } from '../../src/synthetic/synthetic-plan.ts';
import { namedRequest, openAuditTrail, type TrailEntry } from '../support/audit-trail.ts';
import { openWorld } from '../support/running-server.ts';
import { codesOf, freshNhsNumber, freshPlan, kindOf, resourcesOf, submit } from '../support/submissions.ts';

const world = await openWorld(t);
const trail = openAuditTrail(t, world.folder);
const { baseUrl } = world.server;
const { la, otherLa, thirdLa, epr, otherEpr, ownId, otherId } = world;

/** Sends a request and gives the AuditEvents that it left. */
async function audited(
  client: FhirClient,
  method: string,
  path: string,
  body?: unknown,
  more = {},
): Promise<TrailEntry[]> {
  const { id, headers } = namedRequest();
  const answer = await client.request(method, path, body, { ...headers, ...more });
  if (answer.status >= 300) throw new Error(`${method} ${path}: ${answer.status} ${JSON.stringify(answer.body)}`);
  return trail.of(id);
}
const eventsOf = async (client: FhirClient, query: string): Promise<AuditEvent[]> =>
  resourcesOf<AuditEvent>(await client.request<Bundle>('GET', `AuditEvent?${query}`));

t.test('two authorities on one child: each sees its own, the NHS sees both', async (t) => {
  const plan = freshPlan();
  const [mine] = await submit(la, plan);
  const [theirs] = await submit(otherLa, { ...plan, kind: kindOf('LAC') });
  const seen = async (client: FhirClient): Promise<(string | undefined)[]> =>
    resourcesOf<Flag>(await client.request<Bundle>('GET', `Flag?patient=${plan.nhsNumber}`)).map((flag) => flag.id);
  t.strictSame(await seen(la), [mine]);
  t.strictSame(await seen(otherLa), [theirs]);
  t.strictSame(await seen(thirdLa), []);
  t.strictSame((await seen(epr)).sort(), [mine, theirs].sort());
  for (const client of [la, otherLa]) t.equal((await client.request('GET', `Patient/${plan.nhsNumber}`)).status, 200);
  t.equal((await thirdLa.request('GET', `Patient/${plan.nhsNumber}`)).status, 404);
});

t.test('movement: the other holders are told when a plan is created, amended, ended, withdrawn', async (t) => {
  const plan = freshPlan();
  await submit(la, plan);
  await submit(thirdLa, { ...plan, start: '2020-01-01', end: addMonths(londonDate(Date.now()), -13) });
  const patient = await audited(otherLa, 'POST', 'Patient', buildPatient(plan));
  t.match(
    patient,
    [{ owed: [], custodians: [otherId], labels: [`viewer:${otherId}`] }],
    'a Patient alone tells nobody',
  );
  const created = await audited(otherLa, 'POST', 'Flag', buildFlag(plan));
  t.match(created, [{ owed: [ownId], custodians: [ownId, otherId] }], 'never itself, never whose plan is long past');
  const [{ id = '' } = {}] = resourcesOf<Flag>(await otherLa.request<Bundle>('GET', `Flag?patient=${plan.nhsNumber}`));
  const same = await audited(otherLa, 'PUT', `Flag/${id}`, { ...buildFlag(plan), id });
  t.strictSame(same[0]?.owed, [], 'no change, no movement');
  const amended = { ...buildFlag(plan), period: { start: '2025-02-01' } };
  t.strictSame((await audited(otherLa, 'PUT', `Flag/${id}`, { ...amended, id }))[0]?.owed, [ownId]);
  const ended = { ...amended, status: 'inactive', period: { start: '2025-02-01', end: '2026-03-01' } };
  t.strictSame((await audited(otherLa, 'PUT', `Flag/${id}`, { ...ended, id }))[0]?.owed, [ownId]);
  t.strictSame((await audited(otherLa, 'PUT', `Flag/${id}`, { ...ended, id, status: 'entered-in-error' }))[0]?.owed, [
    ownId,
  ]);
  t.strictSame((await audited(otherLa, 'DELETE', `Flag/${id}`))[0]?.owed, [], 'it was withdrawn before');
  const [{ id: mine = '' } = {}] = resourcesOf<Flag>(await la.request<Bundle>('GET', `Flag?patient=${plan.nhsNumber}`));
  t.strictSame((await audited(la, 'DELETE', `Flag/${mine}`))[0]?.owed, [], 'nobody else holds a visible plan');
  t.strictSame(
    (await audited(thirdLa, 'GET', `Patient/${plan.nhsNumber}`))[0]?.owed,
    [],
    'an authority reading tells nobody',
  );
});

t.test('a read tells every authority with a visible plan, a silent one nobody', async (t) => {
  const plan = freshPlan();
  const [flagId] = await submit(la, plan);
  await submit(otherLa, plan);
  for (const path of [`Flag?patient=${plan.nhsNumber}`, `Patient/${plan.nhsNumber}`, `Flag/${flagId}`]) {
    const loud = await audited(epr, 'GET', path);
    t.match(loud, [{ owed: [ownId, otherId], custodians: [ownId, otherId], patients: [plan.nhsNumber] }], path);
    t.ok(loud[0]?.labels.includes('access-history'));
    const silent = await audited(epr, 'GET', path, undefined, { IsUnscheduledAccessEvent: 'false' });
    t.match(silent, [{ owed: [], custodians: [ownId, otherId], patients: [plan.nhsNumber] }], 'silent, but audited');
    t.notOk(silent[0]?.labels.includes('access-history'));
    t.strictSame((await audited(epr, 'GET', path, undefined, { IsUnscheduledAccessEvent: 'true' }))[0]?.owed, [
      ownId,
      otherId,
    ]);
  }
  const bad = await epr.request('GET', `Flag?patient=${plan.nhsNumber}`, undefined, {
    IsUnscheduledAccessEvent: 'maybe',
  });
  t.equal(bad.status, 400);
  t.strictSame(
    (await audited(epr, 'GET', `AuditEvent?patient=${plan.nhsNumber}`))[0]?.owed,
    [],
    'reading the history: no loop',
  );
  t.strictSame((await audited(la, 'GET', `AuditEvent?patient=${plan.nhsNumber}`))[0]?.owed, []);
});

t.test('silence is for registered clients only', async (t) => {
  const [registered] = world.registry.careProviders;
  const plan = freshPlan();
  await submit(la, plan);
  const clients = world.registry.json.clients as { clientId: string; silentReads?: boolean }[];
  const entry = clients.find((client) => client.clientId === registered?.clientId);
  if (entry === undefined || registered === undefined) throw new Error('no client');
  const write = (): void => writeFileSync(`${world.folder}/registry.json`, JSON.stringify(world.registry.json));
  entry.silentReads = false;
  write();
  t.strictSame(await world.server.reloadRegistry(), []);
  const client = openFhirClient(baseUrl, registered);
  const loud = await audited(client, 'GET', `Flag?patient=${plan.nhsNumber}`, undefined, {
    IsUnscheduledAccessEvent: 'false',
  });
  t.match(loud, [{ owed: [ownId] }], 'told all the same');
  t.ok(loud[0]?.labels.includes('access-history'));
  entry.silentReads = true;
  write();
  t.strictSame(await world.server.reloadRegistry(), []);
});

t.test('the access history: professionals only, newest first, 25 by default, trimmed', async (t) => {
  const plan = freshPlan();
  await submit(la, plan);
  await submit(otherLa, plan);
  for (let index = 0; index < 14; index += 1) {
    await epr.request('GET', `Flag?patient=${plan.nhsNumber}`);
    await otherEpr.request('GET', `Patient/${plan.nhsNumber}`);
  }
  await epr.request('GET', `Flag?patient=${plan.nhsNumber}`, undefined, { IsUnscheduledAccessEvent: 'false' });
  await la.request('GET', `Patient/${plan.nhsNumber}`);
  await epr.request('GET', `AuditEvent?patient=${plan.nhsNumber}`);
  const answer = await epr.request<Bundle>('GET', `AuditEvent?patient=${plan.nhsNumber}`);
  const events = resourcesOf<AuditEvent>(answer);
  t.equal(events.length, 25);
  const recorded = events.map((event) => event.recorded);
  t.strictSame(recorded, [...recorded].sort().reverse(), 'newest first');
  const next = answer.body.link?.find((link) => link.relation === 'next')?.url ?? '';
  const rest = resourcesOf<AuditEvent>(await epr.request<Bundle>('GET', next.slice(baseUrl.length + 1)));
  t.equal(rest.length, 3, '28 loud reads; no silent one, no authority, no read of the history');
  t.equal(new Set([...events, ...rest].map((event) => event.id)).size, 28);
  const text = JSON.stringify([...events, ...rest]);
  for (const hidden of [
    ownId,
    otherId,
    'custodian',
    '127.0.0.1"',
    'jti',
    'epr-1',
    'client-id',
    '"query"',
    'case-system',
  ]) {
    t.notOk(text.includes(hidden), `no ${hidden}`);
  }
  for (const shown of [
    'Alex Example',
    'Clinical Practitioner Access Role',
    'Northmoor General (synthetic)',
    'Eastvale UTC (synthetic)',
  ]) {
    t.ok(text.includes(shown), shown);
  }
  t.equal((await eventsOf(epr, `patient=${plan.nhsNumber}&_count=5`)).length, 5);
  t.equal((await eventsOf(epr, `patient=${plan.nhsNumber}&date=lt2026-01-01`)).length, 0);
  for (const refused of ['action', 'agent', 'subtype', 'agent:identifier', 'entity', '_id', 'outcome', 'type']) {
    const refusal = await epr.request('GET', `AuditEvent?patient=${plan.nhsNumber}&${refused}=Organization/${ownId}`);
    t.strictSame([refusal.status, codesOf(refusal)], [400, ['not-supported']], `no ${refused} for a care provider`);
  }
  const unknown = await epr.request<Bundle>('GET', `AuditEvent?patient=${freshNhsNumber()}`);
  t.match(unknown, { status: 200, body: { total: 0 } });
});

t.test('of a write by another authority a holder learns who, what and when, and nothing of its systems', async (t) => {
  const plan = freshPlan();
  await submit(la, plan);
  const [theirs = ''] = await submit(otherLa, { ...plan, kind: kindOf('LAC') });
  const [shown] = await eventsOf(la, `patient=${plan.nhsNumber}&agent=Organization/${otherId}&action=C`);
  const read = await la.request<AuditEvent>('GET', `AuditEvent/${shown?.id}`);
  t.strictSame(read.body, shown, 'the same by read and by search');
  const organisations = shown?.agent.map((agent) => agent.who?.reference).sort();
  t.strictSame(organisations, [ownId, otherId, otherId].map((id) => `Organization/${id}`).sort());
  t.strictSame(
    shown?.entity?.map((entity) => entity.what?.reference),
    [`Patient/${plan.nhsNumber}`],
  );
  t.match(shown, { action: 'C', outcome: '0', meta: { tag: [{ code: 'SUBSETTED' }] } });
  for (const hidden of [theirs, 'case-system', 'client-id', 'jti', '127.0.0.1"', 'XrequestId']) {
    t.notOk(JSON.stringify(shown).includes(hidden), `no ${hidden}`);
  }
  const whole = await eventsOf(otherLa, `patient=${plan.nhsNumber}&action=C`);
  t.ok(JSON.stringify(whole).includes(theirs), 'the acting authority has it whole');
});

t.test('what an authority states of a child changes nothing for the others', async (t) => {
  const plan = freshPlan();
  await submit(la, plan);
  const other = buildPatient({ ...plan, family: 'Else', birthDate: '2018-01-01' });
  const answer = await otherLa.request('PUT', `Patient/${plan.nhsNumber}`, other);
  t.match(answer, { status: 201, body: { name: [{ family: 'Else' }], meta: { versionId: '1' } } });
  const known = await la.request<Patient>('GET', `Patient/${plan.nhsNumber}`);
  t.match(known.body, { meta: { versionId: '1' }, name: [{ family: plan.family }] });
  t.equal((await otherLa.request('POST', 'Flag', buildFlag({ ...plan, kind: kindOf('LAC') }))).status, 201);
});

t.test("an authority's AuditEvents: about its own plans", async (t) => {
  const [shared, own] = [freshPlan(), freshPlan()];
  await submit(la, shared, own);
  await submit(otherLa, shared);
  await epr.request('GET', `Flag?patient=${shared.nhsNumber}`);
  await epr.request('GET', `Flag?patient=${own.nhsNumber}`);
  const patientsSeen = (events: readonly AuditEvent[]): Set<string | undefined> =>
    new Set(
      events.flatMap((event) =>
        (event.entity ?? []).filter((entity) => entity.role?.code === '1').map((entity) => entity.what?.reference),
      ),
    );
  const mine = await eventsOf(la, `agent=Organization/${ownId}&subtype=search-type&_count=250`);
  t.ok(patientsSeen(mine).has(`Patient/${own.nhsNumber}`) && patientsSeen(mine).has(`Patient/${shared.nhsNumber}`));
  const theirs = await eventsOf(otherLa, `agent=Organization/${otherId}&_count=250`);
  t.ok(patientsSeen(theirs).has(`Patient/${shared.nhsNumber}`));
  t.notOk(patientsSeen(theirs).has(`Patient/${own.nhsNumber}`), 'nothing of a child it holds no plan on');
  t.strictSame(await eventsOf(otherLa, `patient=${own.nhsNumber}`), []);
  const events = await eventsOf(
    la,
    `patient=${own.nhsNumber}&subtype=search-type&action=E&outcome=0&entity=Patient/${own.nhsNumber}&type=rest`,
  );
  const event = events.find(({ agent }) => agent.some(({ name }) => name !== undefined));
  t.match(event, {
    agent: [{ network: {} }, {}, { name: 'Alex Example' }, {}, { who: { reference: `Organization/${ownId}` } }],
  });
  t.equal((await la.request('GET', `AuditEvent/${event?.id}`)).status, 200);
  t.equal((await otherLa.request('GET', `AuditEvent/${event?.id}`)).status, 404);
  t.equal((await eventsOf(la, `_id=${event?.id}`)).length, 1);
  t.equal((await eventsOf(otherLa, `_id=${event?.id}`)).length, 0);
  const recorded = (await eventsOf(la, '_count=250')).map((entry) => entry.recorded);
  t.strictSame(recorded, [...recorded].sort().reverse());
  const oldest = (await eventsOf(la, '_count=250&_sort=date')).map((entry) => entry.recorded);
  t.strictSame(oldest, [...oldest].sort());
});

t.test('what an authority did with a child it holds no plan on is not shown to those who do', async (t) => {
  const plan = freshPlan();
  await submit(la, plan);
  const number = plan.nhsNumber;
  await otherLa.request('PUT', `Patient/${number}`, buildPatient(plan));
  await otherLa.request('PUT', `Patient/${number}`, buildPatient({ ...plan, birthDate: '2011-11-11' }));
  await otherLa.request('GET', `Patient/${number}`);
  await otherLa.request('GET', `Flag?patient=${number}`);
  await otherLa.request('POST', 'Flag', { ...buildFlag(plan), status: 'inactive' });
  for (const query of [
    `patient=${number}&_count=250`,
    '_count=250',
    `agent=${otherId}&_count=250`,
    `entity=Patient/${number}&_count=250`,
  ]) {
    const events = (await eventsOf(la, query)).filter((event) => JSON.stringify(event).includes(`Patient/${number}`));
    t.notOk(JSON.stringify(events).includes(otherId), query);
  }
  t.equal(
    (await otherLa.request('GET', `Patient/${number}`)).status,
    404,
    'a submitter without a plan does not see it',
  );
});

t.test('an authority that withdrew its plan loses the shared Patient, by every way', async (t) => {
  const plan = freshPlan();
  const [mine = ''] = await submit(la, plan);
  await submit(otherLa, plan);
  await la.request('PUT', `Flag/${mine}`, { ...buildFlag(plan), id: mine, status: 'entered-in-error' });
  const number = plan.nhsNumber;
  t.equal((await la.request('GET', `Patient/${number}`)).status, 404);
  t.equal((await la.request('GET', `Patient/${number}/_history/1`)).status, 404);
  const included = await la.request<Bundle>('GET', `Flag?_id=${mine}&_include=Flag:patient`);
  t.strictSame(
    resourcesOf<Flag>(included).map((flag) => flag.id),
    [mine],
  );
  t.strictSame(resourcesOf<Patient>(included, 'include'), [], 'not by an include');
  t.strictSame(resourcesOf(await la.request<Bundle>('GET', `Patient?_id=${number}`)), []);
  t.equal((await otherLa.request('GET', `Patient/${number}`)).status, 200);
  t.strictSame((await audited(epr, 'GET', `Flag?patient=${number}`))[0]?.owed, [otherId], 'only the holder is told');
});

t.test('two authorities at once: each plan is taken on the birth date that its authority stated', async (t) => {
  for (let round = 0; round < 12; round += 1) {
    const plan = freshPlan();
    const records = [
      [la, plan],
      [otherLa, { ...plan, birthDate: '2014-12-24' }],
    ] as const;
    await Promise.all(
      records.map(async ([client, submitted]) => {
        const bundle = round % 2 === 0 ? 'batch' : 'transaction';
        await client.request('POST', '', { resourceType: 'Bundle', type: bundle, entry: buildRecord(submitted) });
      }),
    );
    const flags = resourcesOf<Flag>(await epr.request<Bundle>('GET', `Flag?patient=${plan.nhsNumber}`));
    const reads = await Promise.all(
      [la, otherLa].map((client) => client.request<Patient>('GET', `Patient/${plan.nhsNumber}`)),
    );
    t.strictSame(
      reads.map(({ body }) => body.birthDate),
      [plan.birthDate, '2014-12-24'],
    );
    const holders = flags.map((flag) => flag.author?.reference).sort();
    t.strictSame(holders, [`Organization/${ownId}`, `Organization/${otherId}`]);
  }
});

t.test('an authority reads the versions that it stated, and no other', async (t) => {
  const plan = freshPlan();
  await la.request('POST', 'Patient', buildPatient({ ...plan, family: 'Mistaken' }));
  await submit(la, plan);
  await submit(otherLa, { ...plan, kind: kindOf('LAC') });
  const version = async (client: FhirClient, number: number): Promise<number> =>
    (await client.request('GET', `Patient/${plan.nhsNumber}/_history/${number}`)).status;
  t.strictSame([await version(la, 1), await version(la, 2)], [200, 200]);
  t.strictSame([await version(otherLa, 1), await version(otherLa, 2)], [200, 404]);
  const read = await otherLa.request('GET', `Patient/${plan.nhsNumber}/_history/1`);
  t.notMatch(JSON.stringify(read.body), 'Mistaken');
});
