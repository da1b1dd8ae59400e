import type { OperationOutcome } from 'fhir/r4.js';
import t from 'tap';
import { accessTable, definitionTypes } from '../src/cpis/access-policy.ts';
import type { Role } from '../src/cpis/caller.ts';
import {
  type InteractionCode,
  interactionTable,
  isTypeInteraction,
  type TypeInteraction,
} from '../src/cpis/interaction-table.ts';
import { type FhirClient, openFhirClient } from '../src/synthetic/fhir-client.ts';
import { buildFlag, buildPatient } from '../src/synthetic/synthetic-plan.ts';
import type { SyntheticClient } from '../src/synthetic/synthetic-registry.ts';
import { namedRequest, openAuditTrail } from './support/audit-trail.ts';
import { openWorld } from './support/running-server.ts';
import { freshPlan, idIn, kindOf, postBundle, statusesOf, submit } from './support/submissions.ts';

const origin = 'https://subscriber.example.org';
const world = await openWorld(t, { subscriptionOrigins: [origin] });
const trail = openAuditTrail(t, world.folder);
const { la, otherLa, epr } = world;
const clients: Record<Role, FhirClient> = {
  authority: la,
  'care-provider': epr,
  operator: world.operator,
  auditor: world.auditor,
};
const own = world.registry.authorities[0]?.organisationId ?? '';

const subscription = {
  resourceType: 'Subscription',
  status: 'off',
  reason: 'access notifications',
  criteria: 'AuditEvent?type=rest',
  channel: { type: 'rest-hook', endpoint: `${origin}/hook`, payload: 'application/fhir+json' },
};

const plan = freshPlan();
const [flagId = ''] = await submit(la, plan);
// A conflict, which an operator may resolve.
await submit(otherLa, freshPlan({ nhsNumber: plan.nhsNumber, birthDate: '2018-03-04' }));
const madeSubscription = await la.request('POST', 'Subscription', subscription);
const subscriptionId = idIn(madeSubscription.headers.get('location'));
await epr.request('GET', `Flag?patient=${plan.nhsNumber}`);
const events = await la.request<{ entry: { resource: { id: string } }[] }>('GET', 'AuditEvent?subtype=search-type');
const eventId = events.body.entry[0]?.resource.id ?? '';

interface Asked {
  readonly method: string;
  readonly path: string;
  readonly body?: unknown;
}

const ids: Readonly<Record<string, string>> = {
  Flag: flagId,
  Patient: plan.nhsNumber,
  Organization: own,
  AuditEvent: eventId,
  Subscription: subscriptionId,
  CapabilityStatement: 'cpis-fhir',
  CodeSystem: 'contact-purpose',
  OperationDefinition: 'cpis-validate',
  SearchParameter: 'cpis-flag-code',
  StructureDefinition: 'cpis-flag',
  ValueSet: 'cpis-plan-kind',
};

/** Returns a resource of the type that a create or update could accept. */
function bodyOf(type: string): object {
  if (type === 'Flag') return buildFlag(plan);
  if (type === 'Patient') return buildPatient(plan);
  return type === 'Subscription' ? subscription : { resourceType: type };
}

/** Returns a FHIRPath Patch that changes nothing, or an element that may change. */
function patchOf(type: string): object {
  const parts = [
    { name: 'type', valueCode: type === 'Subscription' ? 'replace' : 'delete' },
    { name: 'path', valueString: type === 'Subscription' ? 'Subscription.status' : `${type}.language` },
    ...(type === 'Subscription' ? [{ name: 'value', valueCode: 'off' }] : []),
  ];
  return { resourceType: 'Parameters', parameter: [{ name: 'operation', part: parts }] };
}

function ask(type: string, interaction: TypeInteraction, role: Role): Asked {
  const id = ids[type] ?? 'abc';
  const criteria =
    role === 'care-provider' && type !== 'Organization' && !definitionTypes.has(type)
      ? `?patient=${plan.nhsNumber}`
      : '';
  switch (interaction) {
    case 'read':
      return { method: 'GET', path: `${type}/${id}` };
    case 'vread':
      return { method: 'GET', path: `${type}/${id}/_history/1` };
    case 'history-instance':
      return { method: 'GET', path: `${type}/${id}/_history` };
    case 'history-type':
      return { method: 'GET', path: `${type}/_history` };
    case 'create':
      // A second Flag of this authority.
      return {
        method: 'POST',
        path: type,
        body: type === 'Flag' ? buildFlag(freshPlanOn(plan.nhsNumber)) : bodyOf(type),
      };
    case 'update':
      return { method: 'PUT', path: `${type}/${id}`, body: { ...bodyOf(type), id } };
    case 'patch':
      return { method: 'PATCH', path: `${type}/${id}`, body: patchOf(type) };
    case 'delete':
      return { method: 'DELETE', path: `${type}/${id}` };
    case 'search-type':
      return { method: 'GET', path: `${type}${criteria}` };
    case 'validate':
      return { method: 'POST', path: `${type}/$validate`, body: bodyOf(type) };
    case 'status':
    case 'events':
    case 'get-ws-binding-token':
      return { method: 'GET', path: `${type}/${id}/$${interaction}` };
    case 'demographic-conflicts':
      return { method: 'GET', path: `${type}/$${interaction}` };
    case 'resolve-demographics':
      return { method: 'POST', path: `${type}/${id}/$${interaction}`, body: { resourceType: 'Parameters' } };
    case 'replay-deliveries':
      return { method: 'POST', path: `${type}/${id}/$replay-deliveries`, body: { resourceType: 'Parameters' } };
    case 'transfer': {
      const parameter = [
        { name: 'to', valueString: world.otherId },
        { name: 'all', valueBoolean: true },
      ];
      return { method: 'POST', path: `${type}/${id}/$transfer`, body: { resourceType: 'Parameters', parameter } };
    }
  }
}

const freshPlanOn = (nhsNumber: string) => freshPlan({ nhsNumber, kind: kindOf('LAC') });

const types = ['Flag', 'Patient', 'Organization', 'AuditEvent', 'Subscription', ...definitionTypes];
const unknownTypes = ['Observation', 'Task', 'Encounter', 'Bundle', 'Binary', 'Provenance'];
// The deletion comes last, because the others need the resource.
const interactions = (Object.keys(interactionTable) as InteractionCode[])
  .filter(isTypeInteraction)
  .sort((a, b) => Number(a === 'delete') - Number(b === 'delete'));
// The table allows these, and they are refused here: the Subscription is neither topic-based nor a WebSocket, and the
// authority has no successor.
const refusedByState: ReadonlySet<TypeInteraction> = new Set(['events', 'get-ws-binding-token', 'transfer']);
const roles: Role[] = ['care-provider', 'operator', 'auditor', 'authority'];

t.test('the table names the types and roles that this test goes through', async (t) => {
  t.strictSame(Object.keys(accessTable).sort(), [...types].sort());
  t.strictSame(new Set(Object.values(accessTable).flatMap((row) => Object.keys(row))), new Set(roles));
});

for (const role of roles) {
  t.test(`${role}: what the table lists answers, everything else is denied and audited`, async (t) => {
    for (const type of [...types, ...unknownTypes]) {
      for (const interaction of interactions) {
        const { method, path, body } = ask(type, interaction, role);
        const { id, headers } = namedRequest();
        const answer = await clients[role].request<OperationOutcome>(method, path, body, headers);
        const allowed = accessTable[type]?.[role]?.includes(interaction) === true;
        const name = `${role} ${interaction} ${type}: ${answer.status}`;
        if (allowed && refusedByState.has(interaction)) t.equal(answer.status, 422, name);
        else if (allowed) t.ok(answer.status >= 200 && answer.status < 300, name);
        else {
          t.ok([403, 404, 405].includes(answer.status), name);
          t.match(answer.body, { resourceType: 'OperationOutcome', issue: [{ severity: 'error' }] }, name);
        }
        const audits = trail.of(id);
        t.strictSame(
          audits.map((audit) => audit.outcome),
          [allowed && !refusedByState.has(interaction) ? '0' : '4'],
          `audited: ${name}`,
        );
        if (!allowed) {
          t.strictSame(audits[0]?.owed, [], 'nobody is notified of a refusal');
          if (role !== 'care-provider') t.strictSame(audits[0]?.custodians, [], 'and nobody else sees it');
        }
      }
    }
  });

  t.test(`${role}: the same within a Bundle`, async (t) => {
    const again = freshPlan();
    if (role === 'authority') await submit(la, again);
    for (const type of [...types, ...unknownTypes]) {
      for (const interaction of interactions) {
        if (accessTable[type]?.[role]?.includes(interaction) === true) continue;
        const { method, path, body } = ask(type, interaction, role);
        const entry = { ...(body === undefined ? {} : { resource: body }), request: { method, url: path } };
        const { id, headers } = namedRequest();
        const answer = await postBundle(clients[role], 'batch', [entry], headers);
        const [status = ''] = statusesOf(answer);
        t.match(status, /^(400|403|404|405) /, `${role} ${interaction} ${type}: ${status}`);
        const audited = trail.of(id);
        t.strictSame(
          audited.map((audit) => audit.outcome),
          ['4'],
          `audited: ${role} ${interaction} ${type}`,
        );
      }
    }
  });
}

t.test('other methods, paths and operations are served on no type', async (t) => {
  const paths = [
    ['DELETE', 'Flag'],
    ['GET', 'AuditEvent/_history'],
    ['GET', `AuditEvent/${eventId}/_history`],
    ['GET', 'Organization/_history'],
    ['DELETE', 'Patient?family=Testchild'],
    ['DELETE', 'AuditEvent?outcome=0'],
    ['GET', `Patient/${plan.nhsNumber}/$everything`],
    ['POST', `Patient/${plan.nhsNumber}/$everything`],
    ['GET', `Patient/${plan.nhsNumber}/*`],
    ['GET', `Flag/${flagId}/$status`],
    ['GET', 'Subscription/$events'],
    ['GET', `Subscription/${subscriptionId}/$resend`],
    ['GET', '_search?patient=9990000018'],
    ['POST', '_search'],
    ['POST', 'AuditEvent'],
    ['GET', 'flag'],
    ['GET', '__proto__'],
    ['GET', 'constructor/abc'],
  ] as const;
  for (const role of roles) {
    for (const [method, path] of paths) {
      const { id, headers } = namedRequest();
      const body = method === 'POST' ? { resourceType: 'Flag' } : undefined;
      const answer = await clients[role].request<OperationOutcome>(method, path, body, headers);
      const name = `${role} ${method} ${path}: ${answer.status}`;
      t.ok([400, 403, 404, 405, 415].includes(answer.status), name);
      t.match(answer.body, { resourceType: 'OperationOutcome' }, name);
      t.strictSame(
        trail.of(id).map((audit) => audit.outcome),
        ['4'],
        `audited: ${name}`,
      );
    }
  }
});

t.test('scopes narrow what the role allows', async (t) => {
  const shared = freshPlan();
  const [sharedId = ''] = await submit(la, shared);
  const withScope = (client: SyntheticClient | undefined, scope: string): FhirClient => {
    if (client === undefined) throw new Error('no client');
    return openFhirClient(world.server.baseUrl, { ...client, scope });
  };
  const [authority] = world.registry.authorities;
  const [careProvider] = world.registry.careProviders;
  const statuses = async (client: FhirClient, asked: readonly (readonly [string, string, unknown?])[]) => {
    const found: number[] = [];
    for (const [method, path, body] of asked) found.push((await client.request(method, path, body)).status);
    return found;
  };
  const asked = [
    ['GET', `Flag/${sharedId}`],
    ['GET', `Flag?patient=${shared.nhsNumber}`],
    ['GET', `Flag/${sharedId}/_history/1`],
    ['POST', 'Flag', buildFlag(freshPlanOn(shared.nhsNumber))],
    ['PUT', `Flag/${sharedId}`, { ...buildFlag(shared), id: sharedId }],
    ['GET', `Patient/${shared.nhsNumber}`],
    ['GET', `AuditEvent?patient=${shared.nhsNumber}`],
  ] as const;
  t.strictSame(await statuses(withScope(authority, 'system/Flag.s'), asked), [403, 200, 403, 403, 403, 403, 403]);
  t.strictSame(await statuses(withScope(authority, 'system/Flag.r'), asked), [200, 403, 200, 403, 403, 403, 403]);
  t.strictSame(await statuses(withScope(authority, 'system/Flag.c'), asked), [403, 403, 403, 201, 403, 403, 403]);
  t.strictSame(await statuses(withScope(authority, 'system/Flag.u'), asked), [403, 403, 403, 403, 200, 403, 403]);
  t.strictSame(await statuses(withScope(authority, 'system/Patient.rs'), asked), [403, 403, 403, 403, 403, 200, 403]);
  const deletes = withScope(authority, 'system/Flag.crus');
  t.strictSame(await statuses(deletes, [['DELETE', `Flag/${sharedId}`]]), [403]);
  const upsert = withScope(authority, 'system/Flag.u');
  const absent = freshPlanOn(shared.nhsNumber);
  const criteria = `Flag?identifier=${encodeURIComponent(`${absent.referenceSystem}|${absent.reference}`)}`;
  t.strictSame(await statuses(upsert, [['PUT', criteria, buildFlag(absent)]]), [403], 'an upsert creates');

  const onlyFlags = withScope(careProvider, 'system/Flag.rs');
  t.strictSame(
    await statuses(onlyFlags, [
      ['GET', `Flag?patient=${shared.nhsNumber}`],
      ['GET', `Patient/${shared.nhsNumber}`],
      ['GET', `AuditEvent?patient=${shared.nhsNumber}`],
      ['GET', `Flag?patient=${shared.nhsNumber}&_include=Flag:patient`],
    ]),
    [200, 403, 403, 403],
    'an include is a read of what it includes',
  );
  t.strictSame(
    await statuses(withScope(careProvider, 'system/Flag.r'), [['GET', `Flag?patient=${shared.nhsNumber}`]]),
    [403],
  );
  const refused = await onlyFlags.request('GET', `Patient/${shared.nhsNumber}`);
  t.match(refused.headers.get('www-authenticate'), /error="insufficient_scope", scope="system\/Patient\.r"/);
});

t.test('a request without a professional or a token is refused', async (t) => {
  const [careProvider] = world.registry.careProviders;
  const { nhsNumber } = freshPlan();
  for (const authorization of [undefined, 'Bearer', 'Bearer abc', 'Basic abc', `bearer ${await epr.token()}x`]) {
    const { id, headers } = namedRequest();
    const response = await fetch(`${world.server.baseUrl}/Flag?patient=${nhsNumber}`, {
      headers: { ...headers, ...(authorization === undefined ? {} : { authorization }) },
    });
    t.equal(response.status, 401, authorization ?? 'no token');
    t.match(response.headers.get('www-authenticate'), /^Bearer/);
    t.match(await response.json(), { resourceType: 'OperationOutcome', issue: [{ code: 'login' }] });
    const audits = trail.of(id);
    t.match(audits, [{ outcome: '4', labels: [], owed: [], patients: [] }]);
  }
  if (careProvider === undefined) throw new Error('no care provider');
  const { iua: _, ...nameless } = careProvider;
  const anonymous = openFhirClient(world.server.baseUrl, nameless);
  const outcome = await anonymous.request('GET', `Flag?patient=${nhsNumber}`).then(
    (answer) => answer.status,
    (error: Error) => error.message,
  );
  t.match(String(outcome), /403|invalid/, 'a care provider without a named professional reads nothing');
  t.equal((await otherLa.request('GET', `Flag/${flagId}`)).status, 404);
});

t.test('every 405 lists in Allow the methods of its own target, as OPTIONS does', async (t) => {
  const below = ['', '/_search', '/_history', '/absent', '/absent/_history', '/absent/_history/1'];
  const operations = ['$validate', '$status', '$events', '$get-ws-binding-token', '$replay-deliveries'];
  operations.push('$demographic-conflicts', '$resolve-demographics');
  const levels = [...below, ...operations.flatMap((name) => [`/${name}`, `/absent/${name}`])];
  const paths = ['', 'metadata', '_history', ...types.flatMap((type) => levels.map((level) => `${type}${level}`))];
  paths.push('Patient/absent/Flag', 'Patient/absent/Flag/_search', 'Patient/absent/AuditEvent');
  const methods = ['GET', 'POST', 'PUT', 'PATCH', 'DELETE'];
  // The path is served with PUT, yet an update of an absent resource is 405: the server chooses the ids.
  const upserts = ['PUT Flag/absent', 'PUT Subscription/absent'];
  let refused = 0;
  for (const path of paths) {
    const options = await la.request('OPTIONS', path);
    const allowed = options.headers.get('allow');
    t.equal(options.status, allowed === null ? 404 : 200, `OPTIONS ${path}`);
    for (const method of methods) {
      const body = method === 'GET' || method === 'DELETE' ? undefined : patchOf('Flag');
      const { status, headers } = await la.request(method, path, body);
      const isAllowed = allowed?.split(', ').includes(method) === true;
      const expected405 = allowed !== null && (!isAllowed || upserts.includes(`${method} ${path}`));
      t.equal(status === 405, expected405, `${method} ${path}: ${status}`);
      t.equal(headers.get('allow'), status === 405 ? allowed : null, `${method} ${path}`);
      if (status === 405) refused += 1;
    }
  }
  t.ok(refused > 100, `${refused} refusals`);

  const absent = freshPlan();
  await submit(la, absent);
  const other = freshPlanOn(absent.nhsNumber);
  const criteria = `identifier=${encodeURIComponent(`${other.referenceSystem}|${other.reference}`)}`;
  for (const [method, path, body] of [
    ['PUT', 'Flag/absent', { ...buildFlag(other), id: 'absent' }],
    ['PUT', `Flag?${criteria}`, { ...buildFlag(other), id: 'absent' }],
    ['PUT', 'Subscription?url=https://absent.example.org', { ...subscription, id: 'absent' }],
    [
      'POST',
      '',
      {
        resourceType: 'Bundle',
        type: 'transaction',
        entry: [{ resource: { ...buildFlag(other), id: 'absent' }, request: { method: 'PUT', url: 'Flag/absent' } }],
      },
    ],
  ] as const) {
    const answer = await la.request(method, path, body);
    const options = await la.request('OPTIONS', path.split('?', 1)[0] ?? '');
    t.equal(answer.status, 405, `${method} ${path}`);
    t.equal(answer.headers.get('allow'), options.headers.get('allow'), `${method} ${path}`);
  }
});
