/** What auditors find, and what stays hidden from everybody else. */
import type { AuditEvent, Bundle } from 'fhir/r4.js';
import t from 'tap';
import { type FhirClient, openFhirClient } from '../../src/synthetic/fhir-client.ts';
import { openWorld } from '../support/running-server.ts';
import { freshPlan, postBundle, resourcesOf, submit } from '../support/submissions.ts';

const world = await openWorld(t);
const { la, otherLa, epr, otherEpr, auditor, trustAuditors, operator, registry, server, ownId } = world;
const [trustAuditor, otherTrustAuditor] = trustAuditors as [FhirClient, FhirClient];
const silent = { isunscheduledaccessevent: 'false' };
const clientSystem = 'https://cpis-fhir.example.org/fhir/Id/client-id';
const odsSystem = 'https://fhir.nhs.uk/Id/ods-organization-code';

/** A professional of the first care provider. */
function professional(name: string, value: string): FhirClient {
  const [client] = registry.careProviders;
  if (client?.iua === undefined) throw new Error('no care provider');
  const iua = {
    ...client.iua,
    subject_name: name,
    subject_id: `https://fhir.nhs.uk/Id/sds-user-id|${value}`,
  };
  return openFhirClient(server.baseUrl, { ...client, iua });
}

const found = async (client: FhirClient, criteria: string): Promise<AuditEvent[]> => {
  const answer = await client.request<Bundle>('GET', `AuditEvent?${criteria}&_count=100`);
  t.equal(answer.status, 200, criteria);
  return resourcesOf<AuditEvent>(answer);
};
const idsOf = (events: readonly AuditEvent[]) => events.map(({ id = '' }) => id).sort();
const lookUps = 'subtype=search-type';

const plan = freshPlan();
await submit(la, plan);
const nurse = professional('Zoë Nightingale-Sample', '555000000001');
const doctor = professional('Zachary Sample', '555000000002');
const look = (client: FhirClient, headers = {}) =>
  client.request<Bundle>('GET', `Flag?patient=${plan.nhsNumber}`, undefined, headers);
for (const client of [nurse, nurse, doctor, epr, otherEpr]) await look(client);

t.test('searches by patient, professional, organisation, client, time and outcome', async (t) => {
  const of = (criteria: string) => found(auditor, `${criteria}&${lookUps}&patient=${plan.nhsNumber}`);
  const all = await of('action=E');
  t.equal(all.length, 5);
  t.equal((await of('agent:identifier=https://fhir.nhs.uk/Id/sds-user-id|555000000001')).length, 2);
  t.equal((await of('agent.identifier=555000000001')).length, 2, 'of any system');
  t.equal((await of('agent:identifier=https://other.example.org|555000000001')).length, 0);
  t.equal((await of('agent-name=zoe')).length, 2, 'without regard to case and accents');
  t.equal((await of('agent-name=za,zoe%20nightingale')).length, 3, 'the beginning of the name');
  t.equal((await of('agent-name=nightingale')).length, 0);
  t.equal((await of('agent=Organization/ZZH01')).length, 4);
  t.equal((await of('agent=ZZH02')).length, 1);
  t.equal((await of(`agent:identifier=${odsSystem}|ZZH02`)).length, 1);
  t.equal((await of(`agent:identifier=${clientSystem}|epr-1`)).length, 4);
  t.equal((await of(`agent=Organization/${ownId}`)).length, 5, 'and by the authority that holds the plan');
  t.equal((await of('outcome=4')).length, 0);
  t.equal((await of('date=lt2000')).length, 0);
  t.equal((await of(`agent=Organization/ZZH01&agent-name=zachary&date=ge2026-01-01`)).length, 1, 'together');
  t.equal((await found(auditor, 'agent-name=zachary')).length, 1, 'without a patient');
  t.equal((await auditor.request('GET', 'AuditEvent?agent-name:contains=x')).status, 400);
  t.equal((await auditor.request('GET', 'AuditEvent?_include=AuditEvent:patient')).status, 400);
});

t.test('a literal reference finds no client and no professional', async (t) => {
  for (const agent of ['client/epr-1', 'Device/epr-1', 'name/zachary%20sample', 'Practitioner/555000000001'])
    for (const client of [auditor, la]) {
      const { status, body } = await client.request<Bundle>('GET', `AuditEvent?agent=${agent}`);
      t.ok(status === 400 || body.total === undefined || body.total === 0);
      t.strictSame(
        status === 200 ? resourcesOf(await client.request<Bundle>('GET', `AuditEvent?agent=${agent}`)) : [],
        [],
      );
    }
});

t.test('the auditor of a trust sees the accesses of its own organisation only', async (t) => {
  const all = await found(auditor, lookUps);
  const own = await found(trustAuditor, `${lookUps}&patient=${plan.nhsNumber}`);
  t.equal(own.length, 4);
  const [other] = await found(otherTrustAuditor, `${lookUps}&patient=${plan.nhsNumber}`);
  t.ok(other !== undefined && all.some(({ id }) => id === other.id));
  t.strictSame(await found(trustAuditor, `_id=${other?.id}`), []);
  t.strictSame(await found(trustAuditor, 'agent=Organization/ZZH02'), []);
  const [hidden, absent] = await Promise.all(
    [other?.id, '01a23000-0000-7000-8000-000000000000'].map((id) => trustAuditor.request('GET', `AuditEvent/${id}`)),
  );
  t.equal(hidden?.status, 404);
  t.strictSame(hidden?.body, absent?.body, 'hidden and absent are answered alike');
  t.equal((await otherTrustAuditor.request('GET', `AuditEvent/${other?.id}`)).status, 200);
  t.equal((await auditor.request('GET', `AuditEvent/${other?.id}`)).status, 200);
});

t.test('an auditor may do nothing else', async (t) => {
  for (const [method, path] of [
    ['GET', `Flag?patient=${plan.nhsNumber}`],
    ['GET', `Patient/${plan.nhsNumber}`],
    ['GET', 'Subscription'],
    ['POST', 'AuditEvent'],
    ['GET', 'Patient/$demographic-conflicts'],
  ] as const) {
    for (const client of [auditor, trustAuditor]) {
      const { status } = await client.request(
        method,
        path,
        method === 'POST' ? { resourceType: 'AuditEvent' } : undefined,
      );
      t.ok(status === 403 || status === 405, `${method} ${path}: ${status}`);
    }
  }
  const batch = await postBundle(auditor, 'batch', [
    { request: { method: 'GET', url: `Flag?patient=${plan.nhsNumber}` } },
  ]);
  t.match(batch.body.entry?.[0]?.response?.status, /^403/);
});

t.test('what an auditor reads is audited before, and shown to auditors only', async (t) => {
  const before = idsOf(await found(la, `patient=${plan.nhsNumber}`));
  await found(trustAuditor, `patient=${plan.nhsNumber}&agent=Organization/ZZH01`);
  const own = await found(auditor, `agent:identifier=${clientSystem}|auditor-1`);
  t.ok(own.some(({ entity = [] }) => entity.some(({ what }) => what?.reference === `Patient/${plan.nhsNumber}`)));
  const seen = await found(la, `patient=${plan.nhsNumber}`);
  t.ok(seen.every(({ agent }) => !JSON.stringify(agent).includes('auditor-1')));
  t.ok(before.every((id) => seen.some((event) => event.id === id)));
  t.ok((await found(trustAuditor, `agent:identifier=${clientSystem}|auditor-1`)).length > 0, 'its own reads too');
});

t.test('a silent read is shown to auditors only', async (t) => {
  const quiet = freshPlan();
  await submit(la, quiet);
  const path = `Flag?patient=${quiet.nhsNumber}`;
  t.equal((await epr.request('GET', path, undefined, silent)).status, 200);
  const [event] = await found(auditor, `patient=${quiet.nhsNumber}&${lookUps}`);
  t.ok(event?.id);
  t.equal((await found(trustAuditor, `patient=${quiet.nhsNumber}&${lookUps}`)).length, 1);
  for (const criteria of [
    `patient=${quiet.nhsNumber}&${lookUps}`,
    `_id=${event?.id}`,
    `agent=Organization/ZZH01&patient=${quiet.nhsNumber}`,
  ])
    t.strictSame(await found(la, criteria), [], criteria);
  const counted = await la.request<Bundle>('GET', `AuditEvent?agent=ZZH01&patient=${quiet.nhsNumber}&_summary=count`);
  t.equal(counted.body.total, 0);
  t.equal((await la.request('GET', `AuditEvent/${event?.id}`)).status, 404);
  const history = await epr.request<Bundle>('GET', `AuditEvent?patient=${quiet.nhsNumber}`);
  t.strictSame(resourcesOf(history), []);
});

t.test('a refused look-up on a named child is found by auditors and by the authority that holds it', async (t) => {
  const child = freshPlan();
  await submit(la, child);
  const refused = await epr.request('GET', `Flag?patient=${child.nhsNumber}&status=nonsense`);
  t.equal(refused.status, 400);
  const criteria = `patient=${child.nhsNumber}&outcome=4`;
  const [event] = await found(auditor, criteria);
  t.ok(event?.id);
  t.strictSame(idsOf(await found(la, criteria)), [event?.id]);
  t.strictSame(idsOf(await found(trustAuditor, criteria)), [event?.id]);
  t.strictSame(await found(otherLa, criteria), []);
  t.strictSame(await found(otherTrustAuditor, criteria), []);
  await epr.request('GET', `Flag?patient=${child.nhsNumber}&status=nonsense`, undefined, silent);
  t.equal((await found(auditor, criteria)).length, 2);
  t.equal((await found(la, criteria)).length, 1, 'a silent one is not');
});

t.test(
  'a silent request that is refused before its interaction, or reads the history, is shown to auditors only',
  async (t) => {
    const child = freshPlan();
    await submit(la, child);
    for (const [path, status] of [
      [`Flag?patient=${child.nhsNumber}&_format=xml`, 406],
      [`Patient/${child.nhsNumber}/$everything`, 404],
      [`AuditEvent?patient=${child.nhsNumber}`, 200],
    ] as const) {
      t.equal((await epr.request('GET', path, undefined, silent)).status, status);
      const criteria = `patient=${child.nhsNumber}&agent=Organization/ZZH01`;
      const events = await found(auditor, criteria);
      t.ok(
        events.some(({ entity = [] }) => entity.some(({ query = '' }) => atob(query) === `GET ${path}`)),
        'an auditor sees it as it arrived',
      );
      t.strictSame(await found(la, criteria), [], path);
    }
  },
);

t.test(
  'a holder does not see the text of a refused request, which may name a child of another authority',
  async (t) => {
    const [child, other] = [freshPlan(), freshPlan()];
    await submit(la, child);
    await submit(otherLa, other);
    await epr.request('GET', `Flag?patient=${child.nhsNumber}&about=${other.nhsNumber}`);
    const criteria = `patient=${child.nhsNumber}&outcome=4`;
    const [event] = await found(la, criteria);
    t.match(event, { outcome: '4', outcomeDesc: 'not-supported', meta: { tag: [{ code: 'SUBSETTED' }] } });
    const byId = await la.request<AuditEvent>('GET', `AuditEvent/${event?.id}`);
    for (const seen of [event, byId.body]) {
      t.ok(seen?.entity?.every(({ query }) => query === undefined));
      t.ok(seen?.entity?.some(({ what }) => what?.reference === `Patient/${child.nhsNumber}`));
    }
    const [whole] = await found(auditor, criteria);
    t.ok(whole?.entity?.some(({ query = '' }) => atob(query).endsWith(other.nhsNumber)));
  },
);

t.test('an authority finds the organisation and the professional, and no client of another authority', async (t) => {
  t.equal((await found(la, `patient=${plan.nhsNumber}&agent=Organization/ZZH01&${lookUps}`)).length, 4);
  t.equal((await found(la, `agent:identifier=555000000001&patient=${plan.nhsNumber}`)).length, 2);
  t.equal((await found(la, `agent-name=zachary&patient=${plan.nhsNumber}`)).length, 1);
  t.strictSame(await found(la, `agent:identifier=${clientSystem}|epr-1`), []);
  t.strictSame(await found(la, 'agent:identifier=case-system-2'), []);
  t.equal((await operator.request('GET', 'AuditEvent')).status, 403, 'an operator sees none');
});
