/** Faults of delivery with real processes and sockets, by the numbers under which they are known. */
import { chmodSync, cpSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { setTimeout as sleep } from 'node:timers/promises';
import t, { type Test } from 'tap';
import { type FhirClient, openFhirClient } from '../../src/synthetic/fhir-client.ts';
import { openReceiver, type Receiver } from '../support/receiver.ts';
import { makeServerHome, type ServerHome, startServerProcess } from '../support/server-process.ts';
import { freshPlan, submit } from '../support/submissions.ts';
import { waitUntil } from '../support/wait-until.ts';

interface Scene {
  readonly home: ServerHome;
  readonly endpoint: Receiver;
  readonly operator: FhirClient;
  /** A care provider looks the child up so many times. */
  lookUp(times: number): Promise<void>;
  /** Creates the Subscription and submits the plan; to be called once, with a running server. */
  prepare(): Promise<void>;
  /** What the authority is owed, as an operator sees it. */
  owed(): Promise<Record<string, number>>;
}

async function openScene(test: Test): Promise<Scene> {
  const endpoint = await openReceiver();
  test.teardown(() => endpoint.close());
  const home = await makeServerHome({
    subscriptionOrigins: [endpoint.origin],
    settings: {
      CPIS_LOG_LEVEL: 'error',
      CPIS_DANGEROUSLY_ALLOW_LOOPBACK_ENDPOINTS: 'true',
      CPIS_NOTIFICATION_TIMEOUT_MS: '1000',
    },
  });
  test.teardown(() => home.remove());
  const { authorities, careProviders, operator } = home.registry;
  const [authority] = authorities;
  const [careProvider] = careProviders;
  if (authority === undefined || careProvider === undefined) throw new Error('the registry is empty');
  const epr = openFhirClient(home.baseUrl, careProvider);
  const la = openFhirClient(home.baseUrl, authority);
  const plan = freshPlan();
  const asOperator = openFhirClient(home.baseUrl, operator);
  return {
    home,
    endpoint,
    operator: asOperator,
    prepare: async () => {
      await submit(la, plan);
      const { status } = await la.request('POST', 'Subscription', {
        resourceType: 'Subscription',
        status: 'requested',
        reason: 'faults',
        criteria: 'AuditEvent?',
        channel: { type: 'rest-hook', endpoint: `${endpoint.origin}/hook`, payload: 'application/fhir+json' },
      });
      if (status !== 201) throw new Error(`the Subscription was answered ${status}`);
    },
    lookUp: async (times) => {
      for (let n = 0; n < times; n += 1) {
        const { status } = await epr.request('GET', `Flag?patient=${plan.nhsNumber}`);
        if (status !== 200) throw new Error(`the look-up was answered ${status}`);
      }
    },
    owed: async () => {
      const path = `Organization/${authority.organisationId}/$replay-deliveries`;
      const { body } = await asOperator.request<{ parameter: { name: string; valueInteger?: number }[] }>('POST', path);
      return Object.fromEntries(body.parameter.map(({ name, valueInteger = Number.NaN }) => [name, valueInteger]));
    },
  };
}

const different = (endpoint: Receiver): Set<string> => new Set(endpoint.received.map(({ path }) => path));

async function untilDelivered({ owed }: Scene, count: number): Promise<void> {
  await waitUntil(`all of ${count} are delivered`, async () => {
    const { undelivered, delivered } = await owed();
    return undelivered === 0 && delivered === count;
  });
}

t.test(
  'case 21: killed between the 2xx and the mark: sent again under the same id, so that the receiver has one',
  async (t) => {
    const scene = await openScene(t);
    const { home, endpoint, lookUp } = scene;
    let server = await startServerProcess(home);
    await scene.prepare();
    // The answer goes out when the process is dead already: for the server it is lost, for the receiver it is given.
    const killed = Promise.withResolvers<void>();
    endpoint.onReceived(() => {
      if (endpoint.received.length === 1) void server.kill().then(killed.resolve);
    });
    endpoint.behave((_, index) =>
      index === 0 ? { kind: 'slow', delayMs: 300, status: 200 } : { kind: 'answer', status: 200 },
    );
    await lookUp(1);
    await killed.promise;
    server = await startServerProcess(home);
    await untilDelivered(scene, 1);
    await server.stop();
    t.equal(endpoint.received.length, 2);
    t.equal(different(endpoint).size, 1, 'the same AuditEvent');
    t.equal(new Set(endpoint.received.map(({ headers }) => headers['webhook-id'])).size, 1, 'the same webhook-id');
  },
);

t.test(
  'case 24: a process that stands still for longer than its attempts may take goes on without a loss',
  async (t) => {
    const scene = await openScene(t);
    const { home, endpoint, lookUp } = scene;
    const server = await startServerProcess(home);
    await scene.prepare();
    endpoint.behave({ kind: 'slow', delayMs: 200, status: 200 });
    await lookUp(12);
    await endpoint.waitFor(2);
    process.kill(server.pid, 'SIGSTOP');
    await sleep(3_000);
    process.kill(server.pid, 'SIGCONT');
    endpoint.behave({ kind: 'answer', status: 200 });
    await untilDelivered(scene, 12);
    await server.stop();
    t.equal(different(endpoint).size, 12);
  },
);

t.test('case 25: SIGTERM gives back what is claimed; the next start sends it at once', async (t) => {
  const scene = await openScene(t);
  const { home, endpoint, lookUp } = scene;
  let server = await startServerProcess(home);
  await scene.prepare();
  endpoint.behave({ kind: 'hang' });
  await lookUp(20);
  await endpoint.waitFor(1);
  await server.stop();
  endpoint.behave({ kind: 'answer', status: 200 });
  const db = new DatabaseSync(home.storeFile, { readOnly: true });
  const waiting = db.prepare('SELECT leaseToken, count(*) AS n FROM delivery GROUP BY leaseToken').all();
  t.same(waiting, [{ leaseToken: null, n: 20 }], 'no lease of the process that was stopped is left to wait for');
  db.close();
  server = await startServerProcess(home);
  await untilDelivered(scene, 20);
  t.equal(different(endpoint).size, 20);
  await server.stop();
});

t.test(
  'case 32: restored from an older copy: what it does not know to be delivered is sent again, under the same ids',
  async (t) => {
    const scene = await openScene(t);
    const { home, endpoint, lookUp } = scene;
    const data = dirname(home.storeFile);
    const copy = join(home.folder, 'copy');
    endpoint.behave({ kind: 'answer', status: 503 });
    let server = await startServerProcess(home);
    await scene.prepare();
    await lookUp(5);
    await endpoint.waitFor(1);
    await server.stop();
    cpSync(data, copy, { recursive: true });
    endpoint.behave({ kind: 'answer', status: 200 });
    server = await startServerProcess(home);
    await untilDelivered(scene, 5);
    await server.stop();
    const before = different(endpoint);
    rmSync(data, { recursive: true });
    cpSync(copy, data, { recursive: true });
    chmodSync(data, 0o700);
    const sentBefore = endpoint.received.length;
    server = await startServerProcess(home);
    await untilDelivered(scene, 5);
    await server.stop();
    t.equal(endpoint.received.length - sentBefore, 5);
    t.same(different(endpoint), before, 'the receiver knows each of them');
  },
);
