/** `cpis receive` with the real server, over HTTP. */
import { copyFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import t from 'tap';
import { findFreePort } from '../../src/net/find-free-port.ts';
import { openDesk, receiverAuthorization } from '../support/receiver-desk.ts';
import { runCpis } from '../support/run-cpis.ts';
import { openWorld } from '../support/running-server.ts';
import { freshPlan, submit } from '../support/submissions.ts';
import { waitUntil } from '../support/wait-until.ts';

const topic = 'https://cpis-fhir.example.org/fhir/SubscriptionTopic/access-to-record';

t.test('prints an access that the real server notified', async (t) => {
  const desk = openDesk(t);
  rmSync(join(desk.folder, 'keys.json'));
  const receiver = await desk.start();
  const world = await openWorld(t, { subscriptionOrigins: [new URL(receiver.endpoint).origin] });
  const keys = await fetch(`${world.server.origin}/.well-known/notification-keys.json`);
  writeFileSync(join(desk.folder, 'keys.json'), await keys.text());
  const [la] = world.authorities;
  const [epr] = world.careProviders;
  const plan = freshPlan();
  if (la === undefined || epr === undefined) throw new Error('the world is incomplete');
  await submit(la, plan);
  const channel = {
    ...{ type: 'rest-hook', endpoint: receiver.endpoint, payload: 'application/fhir+json' },
    header: [`Authorization: ${receiverAuthorization}`],
  };
  const subscription = {
    resourceType: 'Subscription',
    status: 'requested',
    reason: 'x',
    criteria: 'AuditEvent',
    channel,
  };
  t.equal((await la.request('POST', 'Subscription', subscription)).status, 201);
  t.equal((await epr.request('GET', `Flag?patient=${plan.nhsNumber}`)).status, 200);
  await waitUntil('an access is in the output', () => receiver.lines().length > 0);
  t.match(receiver.lines(), [/Alex Example .*looked up \d{10}$/]);
  t.match(receiver.lines()[0], plan.nhsNumber);
  await receiver.stop();
  const db = new DatabaseSync(join(desk.folder, 'inbox.sqlite'), { readOnly: true });
  const proof = db.prepare('SELECT m.headers, m.body FROM event e JOIN message m ON m.id = e.message').get();
  db.close();
  writeFileSync(join(desk.folder, 'headers'), String(proof?.['headers']));
  const verify = [...['verify-notification', '--headers', join(desk.folder, 'headers'), '--any-time']];
  const input = Buffer.from(proof?.['body'] as Uint8Array);
  const verdict = await runCpis([...verify, '--keys', join(desk.folder, 'keys.json')], { input });
  t.match(verdict, { code: 0, out: /^valid/ }, 'what is kept proves who sent it');
});

t.test('an inbox restored from a backup fetches missing events from the real server', async (t) => {
  const desk = openDesk(t);
  const port = await findFreePort();
  const world = await openWorld(t, { subscriptionOrigins: [`http://127.0.0.1:${port}`] });
  const keys = await fetch(`${world.server.origin}/.well-known/notification-keys.json`);
  writeFileSync(join(desk.folder, 'keys.json'), await keys.text());
  const keyFile = join(desk.folder, 'client.json');
  const [client] = world.registry.authorities;
  writeFileSync(keyFile, JSON.stringify(client?.privateJwk), { mode: 0o600 });
  const args = [
    ...['--port', String(port), '--format', 'ndjson', '--server', world.server.baseUrl],
    ...['--client-id', client?.clientId ?? '', '--key', keyFile],
  ];
  const numbersIn = (lines: readonly string[]): number[] => lines.map((line) => JSON.parse(line).number);
  const [la] = world.authorities;
  const [epr] = world.careProviders;
  const plan = freshPlan();
  if (la === undefined || epr === undefined) throw new Error('the world is incomplete');
  await submit(la, plan);
  const lookUp = () => epr.request('GET', `Flag?patient=${plan.nhsNumber}`);

  const first = await desk.start(args);
  const content = 'http://hl7.org/fhir/uv/subscriptions-backport/StructureDefinition/backport-payload-content';
  const subscription = {
    ...{ resourceType: 'Subscription', status: 'requested', reason: 'x', criteria: topic },
    channel: {
      ...{ type: 'rest-hook', endpoint: first.endpoint, payload: 'application/fhir+json' },
      _payload: { extension: [{ url: content, valueCode: 'full-resource' }] },
      header: [`Authorization: ${receiverAuthorization}`],
    },
  };
  t.equal((await la.request('POST', 'Subscription', subscription)).status, 201);
  await lookUp();
  await waitUntil('one access is in the output', () => first.lines().length === 1);
  await first.stop();
  copyFileSync(join(desk.folder, 'inbox.sqlite'), join(desk.folder, 'backup.sqlite'));

  const second = await desk.start(args);
  await lookUp();
  await lookUp();
  await waitUntil('two accesses are in the output', () => second.lines().length === 2);
  t.strictSame(numbersIn(second.lines()), [2, 3]);
  await second.stop();
  rmSync(join(desk.folder, 'inbox.sqlite'));
  copyFileSync(join(desk.folder, 'backup.sqlite'), join(desk.folder, 'inbox.sqlite'));

  const restored = await desk.start(args);
  await lookUp();
  await waitUntil('three accesses are in the output', () => restored.lines().length === 3);
  t.strictSame(numbersIn(restored.lines()), [4, 2, 3]);
  t.strictSame(
    restored
      .lines()
      .slice(1)
      .map((line) => JSON.parse(line).id),
    second.lines().map((line) => JSON.parse(line).id),
  );
  t.equal(await restored.stop(), 0);
  t.match(
    restored.output(),
    /events 2 to 3 were missing: 2 fetched\n[\s\S]*4 accesses received, 0 event numbers missing/,
  );
});
