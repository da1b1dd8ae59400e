/** https://hl7.org/fhir/R4/resource-operation-validate.html */
import type { OperationOutcome } from 'fhir/r4.js';
import t from 'tap';
import { type FhirClient, openFhirClient } from '../../src/synthetic/fhir-client.ts';
import { buildFlag, buildPatient } from '../../src/synthetic/synthetic-plan.ts';
import { namedRequest, openAuditTrail } from '../support/audit-trail.ts';
import { openWorld } from '../support/running-server.ts';
import { daysFromNow, freshPlan, idIn, submit, unbornPlan } from '../support/submissions.ts';

const origin = 'https://subscriber.example.org';
const world = await openWorld(t, { subscriptionOrigins: [origin] });
const trail = openAuditTrail(t, world.folder);
const { la, otherLa, epr } = world;
const flagProfile = 'https://cpis-fhir.example.org/fhir/StructureDefinition/cpis-flag';

const parameters = (resource?: object, mode?: string, profile?: string) => ({
  resourceType: 'Parameters',
  parameter: [
    ...(resource === undefined ? [] : [{ name: 'resource', resource }]),
    ...(mode === undefined ? [] : [{ name: 'mode', valueCode: mode }]),
    ...(profile === undefined ? [] : [{ name: 'profile', valueUri: profile }]),
  ],
});
const ask = (client: FhirClient, path: string, body?: unknown, headers = {}) =>
  client.request<OperationOutcome>('POST', path, body, headers);
const errorsOf = ({ body }: { body: OperationOutcome }) =>
  (body.issue ?? []).filter(({ severity }) => severity === 'error').flatMap(({ expression }) => expression ?? []);

t.test('on a type: as Parameters or as the resource itself; sound, or all issues at once', async (t) => {
  const plan = freshPlan();
  const flag = buildFlag(plan);
  const bodies: [string, unknown][] = [
    ['Flag/$validate', parameters(flag)],
    ['Flag/$validate', parameters(flag, 'create', flagProfile)],
    ['Flag/$validate', flag],
    [`Flag/$validate?mode=create&profile=${encodeURIComponent(`${flagProfile}|1.0.0`)}`, flag],
    ['Flag/$validate?profile=http://hl7.org/fhir/StructureDefinition/Flag', flag],
    ['Patient/$validate', buildPatient(plan)],
  ];
  for (const [path, body] of bodies) {
    const { id, headers } = namedRequest();
    const answer = await ask(la, path, body, headers);
    t.equal(answer.status, 200, `${path}: ${JSON.stringify(answer.body)}`);
    t.match(answer.body, { resourceType: 'OperationOutcome', issue: [{ severity: 'information' }] });
    t.match(trail.of(id), [{ subtype: 'operation', outcome: '0', patients: [plan.nhsNumber], owed: [] }]);
    t.equal(trail.of(id)[0]?.event.action, 'E');
  }
  t.equal((await la.request('GET', `Patient/${plan.nhsNumber}`)).status, 404, 'nothing was stored');

  const [other] = world.registry.authorities.slice(1);
  const bad: [string, object, string][] = [
    ['Flag', { ...flag, status: 'nonsense', note: 'x' }, 'Flag.status'],
    ['Flag', { ...flag, status: 'inactive', period: { start: plan.start, end: daysFromNow(3) } }, 'Flag.period.end'],
    ['Flag', { ...flag, author: { reference: `Organization/${other?.organisationId}` } }, 'Flag.author'],
    ['Flag', { ...flag, subject: { reference: 'Patient/9990000019' } }, 'Flag.subject.reference'],
    ['Patient', { ...buildPatient(plan), birthDate: daysFromNow(30) }, 'Patient.birthDate'],
    ['Patient', { ...buildPatient(plan), id: freshPlan().nhsNumber }, 'Patient.id'],
    ['Flag', buildPatient(plan), 'Flag.resourceType'],
    ['Subscription', { resourceType: 'Subscription', status: 'active' }, 'Subscription.channel'],
    [
      'Subscription',
      {
        resourceType: 'Subscription',
        status: 'requested',
        reason: 'r',
        criteria: 'AuditEvent?type=rest',
        channel: { type: 'rest-hook', endpoint: 'https://elsewhere.example.org/hook' },
      },
      'Subscription.channel.endpoint',
    ],
  ];
  for (const [type, resource, expression] of bad) {
    const answer = await ask(la, `${type}/$validate`, resource);
    t.equal(answer.status, 200);
    t.ok(errorsOf(answer).includes(expression), `${expression}: ${JSON.stringify(answer.body)}`);
  }
});

t.test('on an instance: update, delete and profile', async (t) => {
  const plan = freshPlan();
  const [id = ''] = await submit(la, plan);
  const flag = { ...buildFlag(plan), id };
  const sound = { status: 200, body: { issue: [{ severity: 'information' }] } };
  const path = `Flag/${id}/$validate`;
  t.match(await ask(la, path, flag), sound);
  t.match(await ask(la, path, parameters(flag, 'update')), sound);
  for (const body of [
    parameters(undefined, 'delete'),
    parameters(undefined, 'profile'),
    parameters(undefined, 'profile', flagProfile),
  ]) {
    const named = namedRequest();
    t.match(await ask(la, path, body, named.headers), sound);
    t.match(trail.of(named.id), [{ subtype: 'operation', patients: [plan.nhsNumber] }]);
  }
  t.strictSame(errorsOf(await ask(la, path, buildFlag(plan))), ['Flag.id'], 'an update names its id');
  const moved = { ...flag, subject: { reference: `Patient/${freshPlan().nhsNumber}` } };
  t.strictSame(errorsOf(await ask(la, path, moved)), [], 'an open plan may move');
  const born = { ...moved, code: buildFlag(unbornPlan()).code };
  t.strictSame(errorsOf(await ask(la, path, born)), ['Flag.subject'], 'but not between mother and child');
  t.match((await la.request('GET', `Flag/${id}`)).body, { meta: { versionId: '1' } });
  const made = await la.request('POST', 'Subscription', {
    resourceType: 'Subscription',
    status: 'off',
    reason: 'r',
    criteria: 'AuditEvent?type=rest',
    channel: { type: 'rest-hook', endpoint: `${origin}/hook`, header: ['X-Key: canary'] },
  });
  const subscription = `Subscription/${idIn(made.headers.get('location'))}`;
  const { body } = await la.request('GET', subscription);
  t.match(await ask(la, `${subscription}/$validate`, body), sound, 'redacted headers are kept as an update keeps them');
});

t.test('it is no oracle: what is hidden is absent, and what is stored beside it is not looked at', async (t) => {
  const plan = freshPlan();
  const [id = ''] = await submit(la, plan);
  const absent = freshPlan();
  for (const body of [{ ...buildFlag(plan), id }, parameters(undefined, 'delete'), parameters(undefined, 'profile')]) {
    const [hidden, missing] = [
      await ask(otherLa, `Flag/${id}/$validate`, body),
      await ask(otherLa, 'Flag/absent/$validate', body),
    ];
    t.equal(hidden.status, 404);
    t.strictSame(hidden.body, missing.body);
  }
  const wrongChild = { ...plan, birthDate: '2011-11-11', family: 'Other' };
  const answers = [buildPatient(plan), buildPatient(wrongChild), buildPatient(absent)].map(async (patient) => {
    const onType = await ask(otherLa, 'Patient/$validate', patient);
    const onInstance = await ask(otherLa, `Patient/${patient.id}/$validate`, patient);
    return JSON.stringify([onType.status, onType.body, onInstance.status, onInstance.body]);
  });
  t.equal(new Set(await Promise.all(answers)).size, 1, 'known, another birth date, unknown: all the same');
  const flags = [buildFlag(plan), buildFlag(absent)].map(async (flag) =>
    JSON.stringify((await ask(otherLa, 'Flag/$validate', flag)).body),
  );
  t.equal(new Set(await Promise.all(flags)).size, 1);
});

t.test('who may not do it may not ask; malformed requests', async (t) => {
  const plan = freshPlan();
  const [id = ''] = await submit(la, plan);
  const flag = buildFlag(plan);
  for (const client of [epr, world.operator]) {
    const named = namedRequest();
    t.equal((await ask(client, 'Flag/$validate', flag, named.headers)).status, 403);
    t.match(trail.of(named.id), [{ subtype: 'operation', outcome: '4' }]);
  }
  t.equal((await ask(la, `Patient/${plan.nhsNumber}/$validate`, parameters(undefined, 'delete'))).status, 403);
  const [client] = world.registry.authorities;
  if (client === undefined) throw new Error('no client');
  const reader = openFhirClient(world.server.baseUrl, { ...client, scope: 'system/Flag.ru' });
  t.equal((await ask(reader, 'Flag/$validate', flag)).status, 403, 'the scope of what is asked about');
  t.equal((await ask(reader, `Flag/${id}/$validate`, { ...flag, id })).status, 200);
  const cases: [string, unknown, number][] = [
    ['Flag/$validate', undefined, 400],
    ['Flag/$validate', parameters(), 400],
    ['Flag/$validate', parameters(flag, 'nonsense'), 400],
    ['Flag/$validate', parameters(flag, 'delete'), 400],
    ['Flag/$validate', parameters(flag, 'profile'), 400],
    [`Flag/${id}/$validate`, parameters(flag, 'profile'), 400],
    ['Flag/$validate', parameters(flag, 'create', 'https://elsewhere.example.org/profile'), 400],
    ['Flag/$validate', parameters(flag, 'create', flagProfile.replace('flag', 'patient')), 400],
    ['Flag/$validate', { resourceType: 'Parameters', parameter: [{ name: 'nonsense' }] }, 400],
    ['Flag/$validate', { resourceType: 'Parameters', parameter: {} }, 400],
    ['Flag/$validate', { resourceType: 'Parameters', parameter: [null, { name: 'toString', valueCode: 'x' }] }, 400],
    ['Flag/$validate?mode=create', parameters(flag, 'create'), 400],
    ['Flag/$validate?nonsense=1', flag, 400],
    ['Flag/$validate', [flag], 200],
    ['Flag/$validate', 'text', 200],
    ['AuditEvent/$validate', flag, 404],
    ['Organization/$validate', flag, 404],
    ['$validate', flag, 404],
  ];
  for (const [path, body, status] of cases) {
    const answer = await ask(la, path, body, { 'content-type': 'application/fhir+json' });
    t.equal(answer.status, status, `${path} ${JSON.stringify(body)}: ${JSON.stringify(answer.body)}`);
    t.equal(answer.body.resourceType, 'OperationOutcome');
    if (status === 200) t.not(errorsOf(answer).length, 0);
  }
  t.equal((await la.request('GET', `Flag/${id}/$validate`)).status, 405);
  for (const operation of ['$meta', '$everything', '$match', '$expunge', '$export']) {
    for (const path of [operation, `Patient/${operation}`, `Patient/${plan.nhsNumber}/${operation}`]) {
      for (const method of ['GET', 'POST']) {
        const { status } = await la.request(method, path, method === 'POST' ? parameters() : undefined);
        t.equal(status, 404, `${method} ${path}`);
      }
    }
  }
});
