import { readFileSync, writeFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import type { AuditEvent, Bundle, Flag } from 'fhir/r4.js';
import { MongoClient } from 'mongodb';
import t, { type Test } from 'tap';
import { buildTokenRequest, signClientAssertion } from '../../../src/auth/client-assertion.ts';
import { isServerReady } from '../../../src/synthetic/cpis-process.ts';
import { type FhirClient, openFhirClient } from '../../../src/synthetic/fhir-client.ts';
import { buildFlag } from '../../../src/synthetic/synthetic-plan.ts';
import { openMongoServer, throughProxy } from '../../support/mongo-server.ts';
import { openReceiver, type Receiver } from '../../support/receiver.ts';
import { makeServerPair, type ServerPair } from '../../support/server-pair.ts';
import type { ServerProcess } from '../../support/server-process.ts';
import { freshPlan, kindOf, resourcesOf, submit } from '../../support/submissions.ts';
import { openTcpProxy, type TcpProxy } from '../../support/tcp-proxy.ts';
import { waitUntil } from '../../support/wait-until.ts';

/** How many look-ups each part makes. */
const events = Number(process.env['CPIS_TEST_EVENTS'] ?? 100);
const lookUpsAtOnce = 8;

/** Asks again while the server answers 503: many writes of one resource at a time may not be decided within its limit. */
async function untilDecided<Answer extends { readonly status: number }>(ask: () => Promise<Answer>): Promise<Answer> {
  let answer = await ask();
  while (answer.status === 503) {
    await sleep(500);
    answer = await ask();
  }
  return answer;
}

interface World {
  readonly pair: ServerPair;
  readonly receiver: Receiver;
  /** Between the second server and the database. */
  readonly proxy: TcpProxy;
  readonly database: MongoClient;
  readonly servers: [ServerProcess, ServerProcess];
  /** One client for each server. */
  readonly authorities: readonly [FhirClient, FhirClient];
  readonly careProviders: readonly [FhirClient, FhirClient];
  readonly children: readonly string[];
}

async function openPair(test: Test): Promise<World> {
  const mongo = await openMongoServer(test);
  const direct = new URL(mongo.newDatabaseUrl());
  const proxy = await openTcpProxy(test, Number(direct.port));
  const receiver = await openReceiver();
  const pair = await makeServerPair([direct.href, throughProxy(direct.href, proxy)], {
    subscriptionOrigins: [receiver.origin, receiver.origin],
    settings: {
      CPIS_DANGEROUSLY_ALLOW_LOOPBACK_ENDPOINTS: 'true',
      CPIS_NOTIFICATION_TIMEOUT_MS: '1500',
      CPIS_NOTIFICATION_LEASE_MARGIN_MS: '1500',
      CPIS_MONGODB_TIMEOUT_MS: '5000',
      CPIS_LOG_LEVEL: 'error',
    },
  });
  const servers: [ServerProcess, ServerProcess] = [await pair.start(0), await pair.start(1)];
  const database = new MongoClient(direct.href);
  test.teardown(async () => {
    await Promise.all(servers.map((server) => server.kill()));
    await Promise.all([receiver.close(), database.close()]);
    pair.remove();
  });
  const clientsOf = (client: Parameters<typeof openFhirClient>[1] | undefined) => {
    if (client === undefined) throw new Error('there is one');
    const [one, other] = pair.homes;
    return [openFhirClient(one.baseUrl, client), openFhirClient(other.baseUrl, client)] as const;
  };
  const { registry } = pair.homes[0];
  const authorities = clientsOf(registry.authorities[0]);
  const plans = Array.from({ length: 20 }, () => freshPlan());
  await submit(authorities[0], ...plans);
  const careProviders = clientsOf(registry.careProviders[0]);
  const children = plans.map(({ nhsNumber }) => nhsNumber);
  return {
    pair,
    receiver,
    proxy,
    database,
    servers,
    authorities,
    careProviders,
    children,
  };
}

const subscriptionTo = ({ origin }: Receiver, path = '/events') => ({
  resourceType: 'Subscription',
  status: 'requested',
  reason: 'access to own plans',
  criteria: 'AuditEvent?',
  channel: { type: 'rest-hook', endpoint: `${origin}${path}`, payload: 'application/fhir+json' },
});

/** Makes look-ups at both servers, some at a time. Returns how many were answered. */
async function lookUp({ careProviders, children }: World, count: number, during?: () => Promise<void>) {
  let asked = 0;
  let answered = 0;
  const ask = async (): Promise<void> => {
    while (asked < count) {
      const number = asked++;
      const epr = careProviders[number % 2 === 0 ? 0 : 1];
      const answer = await epr
        .request<Bundle>('GET', `Flag?patient=${children[number % children.length]}`)
        .catch(() => undefined);
      if (answer?.status === 200 && (answer.body.entry ?? []).length > 0) answered += 1;
      else await sleep(20);
    }
  };
  const asking = Array.from({ length: lookUpsAtOnce }, ask);
  await during?.();
  await Promise.all(asking);
  return answered;
}

/** Returns the ids of the AuditEvents that arrived after the first `since` notifications. */
function arrived({ receiver }: World, since: number): readonly string[] {
  return receiver.received.slice(since).map(({ body }) => (JSON.parse(body) as AuditEvent).id ?? '');
}

interface StoredAudit {
  readonly _id: string;
  readonly undelivered: number;
}

/** Waits until everything is delivered. */
async function allDelivered({ database }: World): Promise<void> {
  const audit = database.db().collection<StoredAudit>('audit');
  await waitUntil(
    'everything is delivered',
    async () => (await audit.countDocuments({ undelivered: { $gt: 0 } })) === 0,
    300_000,
  );
}

/** Waits until everything is delivered. Returns the ids of all AuditEvents with deliveries, without those before. */
async function drained(world: World, before: ReadonlySet<string>): Promise<readonly string[]> {
  await allDelivered(world);
  const audit = world.database.db().collection<StoredAudit>('audit');
  const found = await audit.find({ deliveries: { $ne: [] } } as object, { projection: { _id: 1 } }).toArray();
  return found.map(({ _id }) => _id).filter((id) => !before.has(id));
}

async function notified(test: Test, world: World, during?: () => Promise<void>): Promise<void> {
  const before = new Set(await drained(world, new Set()));
  const since = world.receiver.received.length;
  const answered = await lookUp(world, events, during);
  test.ok(answered > 0);
  const owed = await drained(world, before);
  const ids = arrived(world, since);
  const distinct = new Set(ids);
  test.same([...owed].sort(), [...distinct].sort(), 'each at least once, and nothing else');
  test.ok(owed.length >= answered, 'nothing was disclosed without its AuditEvent');
  test.comment(`${events} look-ups, ${answered} answered, ${owed.length} events, ${ids.length - distinct.size} twice`);
  if (during !== undefined) return;
  test.equal(answered, events);
  test.equal(ids.length, distinct.size, 'and none twice');
}

async function delivers(test: Test, world: World): Promise<void> {
  const { authorities, servers, pair, proxy, receiver } = world;
  const [one, other] = authorities;
  test.equal((await one.request('POST', 'Subscription', subscriptionTo(receiver))).status, 201);
  const hasBegun = (): Promise<void> => {
    const before = receiver.received.length;
    return waitUntil('some are delivered', () => receiver.received.length >= before + 10);
  };

  await test.test('no duplicate when nothing fails', (quiet) => notified(quiet, world));
  await test.test('each at least once when one server is killed', (killed) =>
    notified(killed, world, async () => {
      await hasBegun();
      await servers[0].kill();
      servers[0] = await pair.start(0);
    }),
  );
  await test.test('each at least once when one server is paused beyond its leases and goes on', (paused) =>
    notified(paused, world, async () => {
      await hasBegun();
      process.kill(servers[1].pid, 'SIGSTOP');
      // The other server takes over what is leased to the paused one when the leases have expired.
      await allDelivered(world);
      process.kill(servers[1].pid, 'SIGCONT');
    }),
  );
  const isReady = () => isServerReady(pair.homes[1].origin);
  await test.test('each at least once when one server loses its database for a while', (lost) =>
    notified(lost, world, async () => {
      await hasBegun();
      proxy.set('cut');
      await waitUntil('the server is not ready', async () => !(await isReady()));
      // Long enough for its look-ups to fail, and for its leases to be taken over.
      await allDelivered(world);
      proxy.set('pass');
    }),
  );
  await waitUntil('the server is ready without a restart', isReady);
  await test.test('a Subscription that is deleted at one server is used by none', async (gone) => {
    const listed = await other.request<Bundle>('GET', 'Subscription');
    const id = listed.body.entry?.[0]?.resource?.id;
    gone.match(await other.request('DELETE', `Subscription/${id}`), { status: /^2/ });
    const next = subscriptionTo(receiver, '/next');
    gone.equal((await one.request('POST', 'Subscription', next)).status, 201);
    /** Returns whether look-ups at both servers are notified to the new Subscription only. */
    const isNotifiedToNext = async (): Promise<boolean> => {
      const since = receiver.received.length;
      gone.equal(await lookUp(world, 20), 20);
      await allDelivered(world);
      return receiver.received.slice(since).every(({ path }) => path.startsWith('/next/'));
    };
    // A server that has not seen the change yet still notifies the deleted one.
    await waitUntil('the deleted Subscription is not used', isNotifiedToNext);
    gone.ok(await isNotifiedToNext());
  });
}

async function agree(test: Test, world: World): Promise<void> {
  const { authorities, careProviders, pair, children, servers } = world;
  const [one, other] = authorities;
  const at = (index: number): FhirClient => (index % 2 === 0 ? one : other);

  // A read at one server sees what was acknowledged by the other.
  for (let round = 0; round < 10; round++) {
    const plan = freshPlan();
    const [id] = await submit(at(round), plan);
    const seen = await at(round + 1).request<Flag>('GET', `Flag/${id}`);
    test.equal(seen.status, 200);
    const found = resourcesOf(await careProviders[0].request<Bundle>('GET', `Flag?patient=${plan.nhsNumber}`));
    test.strictSame(
      found.map((flag) => flag.id),
      [id],
    );
  }

  // A cursor of one server is taken by the other.
  const first = await one.request<Bundle>('GET', 'Flag?_count=5');
  const next = first.body.link?.find(({ relation }) => relation === 'next')?.url ?? '';
  const second = await other.request<Bundle>('GET', next.slice(next.indexOf('/FHIR/R4/') + '/FHIR/R4/'.length));
  test.equal(second.status, 200);
  const idsOf = (answer: typeof first) => resourcesOf(answer).map(({ id }) => id);
  test.equal(new Set([...idsOf(first), ...idsOf(second)]).size, 10);

  // 20 conditional creates at one time leave one resource.
  const plan = freshPlan({ nhsNumber: children[0] ?? '', kind: kindOf('LAC') });
  const flag = buildFlag(plan);
  const condition = {
    'if-none-exist': new URLSearchParams({ identifier: `${plan.referenceSystem}|${plan.reference}` }).toString(),
  };
  const created = await Promise.all(
    Array.from({ length: 20 }, (_, index) => at(index).request<Flag>('POST', 'Flag', flag, condition)),
  );
  const statuses = created.map(({ status }) => status).sort();
  test.strictSame(statuses, [...Array.from({ length: 19 }, () => 200), 201]);
  test.match((await one.request<Bundle>('GET', `Flag?${condition['if-none-exist']}&_summary=count`)).body, {
    total: 1,
  });

  // 50 updates with one If-Match: one is taken.
  const id =
    created
      .find(({ status }) => status === 201)
      ?.headers.get('location')
      ?.split('/')
      .at(-3) ?? '';
  for (let version = 1; version <= 2; version++) {
    const { body: current } = await one.request<Flag>('GET', `Flag/${id}`);
    const updates = await Promise.all(
      Array.from({ length: 50 }, (_, index) => {
        const period = { ...current.period, start: `2024-0${version}-${String((index % 28) + 1).padStart(2, '0')}` };
        const headers = { 'if-match': `W/"${version}"` };
        return untilDecided(() => at(index).request('PUT', `Flag/${id}`, { ...current, period }, headers));
      }),
    );
    test.strictSame(updates.map(({ status }) => status).sort(), [200, ...Array.from({ length: 49 }, () => 412)]);
  }
  const history = await other.request<Bundle>('GET', `Flag/${id}/_history`);
  test.strictSame(
    (history.body.entry ?? []).map(({ resource }) => resource?.meta?.versionId),
    ['3', '2', '1'],
  );

  // A client assertion is used once, whichever server it is shown to.
  const client = pair.homes[0].registry.careProviders[1];
  if (client === undefined) throw new Error('there is one');
  const { clientId, privateJwk, scope, iua } = client;
  const tokenUrl = `${pair.homes[0].origin}/oauth2/token`;
  const assertion = await signClientAssertion({
    clientId,
    tokenUrl,
    privateJwk,
    nowMs: Date.now(),
    ...(iua === undefined ? {} : { iua }),
  });
  const replayed = await Promise.all(
    Array.from({ length: 10 }, (_, index) =>
      fetch(`${pair.homes[index % 2 === 0 ? 0 : 1].origin}/oauth2/token`, {
        method: 'POST',
        body: buildTokenRequest(assertion, scope),
      }),
    ),
  );
  test.strictSame(replayed.map(({ status }) => status).sort(), [200, ...Array.from({ length: 9 }, () => 401)]);

  // A client that is taken out of the registry is out at each server that has read it again.
  const file = pair.homes[0].settings['CPIS_REGISTRY_FILE'] ?? '';
  const registry = JSON.parse(readFileSync(file, 'utf8')) as { clients: { clientId: string }[] };
  test.equal((await careProviders[1].request('GET', `Flag?patient=${children[0]}`)).status, 200);
  const clients = registry.clients.filter((each) => each.clientId !== 'epr-1');
  writeFileSync(file, JSON.stringify({ ...registry, clients }));
  for (const server of servers) process.kill(server.pid, 'SIGHUP');
  for (const epr of careProviders) {
    const status = async () => (await epr.request('GET', `Flag?patient=${children[0]}`)).status;
    await waitUntil('the client is refused', async () => (await status()) !== 200);
    test.equal(await status(), 401);
  }
}

const world = await openPair(t);
await t.test('two servers deliver what is owed', (test) => delivers(test, world));
await t.test('two servers answer as one', (test) => agree(test, world));
