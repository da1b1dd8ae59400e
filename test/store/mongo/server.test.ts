import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Bundle, Flag } from 'fhir/r4.js';
import t, { type Test } from 'tap';
import { buildLogger } from '../../../src/server/logger.ts';
import { openServer } from '../../../src/server/open-server.ts';
import { loadSettings } from '../../../src/settings/settings.ts';
import { environmentWithoutSettings, isServerReady } from '../../../src/synthetic/cpis-process.ts';
import { type FhirClient, openFhirClient } from '../../../src/synthetic/fhir-client.ts';
import { openOwnMongoServer } from '../../support/mongo-server.ts';
import { openReceiver } from '../../support/receiver.ts';
import { openWorld } from '../../support/running-server.ts';
import { makeServerHome } from '../../support/server-process.ts';
import { freshPlan, resourcesOf, submit } from '../../support/submissions.ts';
import { waitUntil } from '../../support/wait-until.ts';

const program = fileURLToPath(new URL('../../../bin/cpis.js', import.meta.url));

/** Starts `cpis serve` on a database; what it writes is kept. */
async function serve(test: Test, url: string, ...options: readonly string[]) {
  const settings = {
    CPIS_MONGODB_URL: url,
    CPIS_MONGODB_TIMEOUT_MS: '1000',
  };
  const home = await makeServerHome({ settings });
  const child = spawn(process.execPath, [program, 'serve', ...options], {
    env: { ...environmentWithoutSettings(), ...home.settings },
  });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk: Buffer) => (output += chunk.toString()));
  const exited = once(child, 'exit').then(([code]) => code as number | null);
  test.teardown(async () => {
    child.kill('SIGKILL');
    await exited;
    home.remove();
  });
  return { origin: home.origin, exited, output: () => output };
}

const subscriptionTo = (origin: string) => ({
  resourceType: 'Subscription',
  status: 'requested',
  reason: 'access to own plans',
  criteria: 'AuditEvent?',
  channel: { type: 'rest-hook', endpoint: `${origin}/events`, payload: 'application/fhir+json' },
});

const mongo = await openOwnMongoServer(t);

await t.test(
  'the whole server on MongoDB: submission, look-up, notification; 503 while it is gone, then well',
  async (test) => {
    const receiver = await openReceiver();
    test.teardown(() => receiver.close());
    const url = mongo.newDatabaseUrl();
    const world = await openWorld(test, {
      subscriptionOrigins: [receiver.origin],
      settings: { CPIS_MONGODB_URL: url, CPIS_MONGODB_TIMEOUT_MS: '1500' },
    });
    const [la] = world.authorities as [FhirClient];
    const [epr] = world.careProviders as [FhirClient];
    const plan = freshPlan();
    const [flagId] = await submit(la, plan);
    const subscribed = await la.request('POST', 'Subscription', subscriptionTo(receiver.origin));
    test.equal(subscribed.status, 201, JSON.stringify(subscribed.body));
    const lookUp = () => epr.request<Bundle>('GET', `Flag?patient=${plan.nhsNumber}`);
    const seen = resourcesOf<Flag>(await lookUp()).map(({ id }) => id);
    test.strictSame(seen, [flagId]);
    await receiver.waitFor(1);
    test.match(receiver.received.at(-1)?.body, '"AuditEvent"');

    const health = async () => {
      const answer = await fetch(`${world.server.origin}/health/ready`);
      return { status: answer.status, body: await answer.json() };
    };
    test.strictSame(await health(), { status: 200, body: { status: 'pass' } });

    await mongo.stop();
    const refused = await lookUp();
    test.equal(refused.status, 503);
    test.notMatch(JSON.stringify(refused.body), plan.nhsNumber);
    test.notMatch(JSON.stringify(refused.body), 'Flag/');
    const becomes = (status: number) => waitUntil(`status ${status}`, async () => (await health()).status === status);
    await becomes(503);
    await mongo.start();
    await becomes(200);
    test.strictSame(
      resourcesOf<Flag>(await lookUp()).map(({ id }) => id),
      [flagId],
    );
    test.notMatch(world.log(), 'mongodb://');
  },
);

await t.test('two servers: one delivers by a Subscription that was made at the other', async (test) => {
  const receiver = await openReceiver();
  test.teardown(() => receiver.close());
  const settings = { CPIS_MONGODB_URL: mongo.newDatabaseUrl() };
  const world = await openWorld(test, { subscriptionOrigins: [receiver.origin], settings });
  const other = await openServer(
    loadSettings({
      CPIS_PORT: '0',
      CPIS_DATA_FOLDER: join(world.folder, 'data'),
      CPIS_REGISTRY_FILE: join(world.folder, 'registry.json'),
      CPIS_DANGEROUSLY_ALLOW_LOOPBACK_ENDPOINTS: 'true',
      ...settings,
    }),
    { logger: buildLogger({ level: 'silent' }), onFatal: (error) => test.error(error) },
  );
  test.teardown(() => other.close());
  const [la] = world.authorities as [FhirClient];
  const [careProvider] = world.registry.careProviders;
  if (careProvider === undefined) throw new Error('there is one');
  const plan = freshPlan();
  await submit(la, plan);
  test.equal((await la.request('POST', 'Subscription', subscriptionTo(receiver.origin))).status, 201);
  await world.server.close();
  const epr = openFhirClient(other.baseUrl, careProvider);
  const seen = resourcesOf<Flag>(await epr.request<Bundle>('GET', `Flag?patient=${plan.nhsNumber}`));
  test.equal(seen.length, 1);
  await receiver.waitFor(1);
  test.match(receiver.received.at(-1)?.body, '"AuditEvent"');
});

await t.test('a second server is not started with a registry that lacks an authority with plans', async (test) => {
  const settings = { CPIS_MONGODB_URL: mongo.newDatabaseUrl() };
  const world = await openWorld(test, { settings });
  await submit(world.la, freshPlan());
  const json = world.registry.json as unknown as Record<'organisations' | 'clients', Record<string, unknown>[]>;
  const registryFile = join(world.folder, 'registry-2.json');
  const lacking = {
    organisations: json.organisations.filter(({ gssCode }) => gssCode !== world.ownId),
    clients: json.clients.filter(({ organisation }) => organisation !== world.ownId),
  };
  writeFileSync(registryFile, JSON.stringify(lacking));
  const second = loadSettings({
    CPIS_PORT: '0',
    CPIS_DATA_FOLDER: join(world.folder, 'data-2'),
    CPIS_REGISTRY_FILE: registryFile,
    ...settings,
  });
  const options = { logger: buildLogger({ level: 'silent' }), onFatal: (error: Error) => test.error(error) };
  await test.rejects(openServer(second, options), {
    message: new RegExp(`authority ${world.ownId} is missing, and the store has plans of it`),
  });
});

await t.test('serve: an unreachable database is reported in words with status 2; --wait waits for it', async (test) => {
  const url = mongo.newDatabaseUrl();
  await mongo.stop();
  const refused = await serve(test, url);
  test.equal(await refused.exited, 2);
  test.match(refused.output(), /MongoDB cannot be reached within 4000 ms/);
  test.notMatch(refused.output(), 'mongodb://');
  const waiting = await serve(test, url, '--wait');
  await waitUntil('it says that it waits', () => waiting.output().includes('the start waits for it'));
  test.notOk(await isServerReady(waiting.origin));
  await mongo.start();
  await waitUntil('it is ready', () => isServerReady(waiting.origin));
});
