/** I3 and I4 with the reference receiver: both sides are killed with kill -9, and each access is told once in the end. */
import { randomUUID } from 'node:crypto';
import { chmodSync, cpSync, existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import type { AuditEvent, Subscription } from 'fhir/r4.js';
import t from 'tap';
import { findFreePort } from '../../src/net/find-free-port.ts';
import { requestIdOf } from '../../src/synthetic/audit-facts.ts';
import { openFhirClient } from '../../src/synthetic/fhir-client.ts';
import { startReceiver } from '../../src/synthetic/receiver-process.ts';
import { makeServerHome, startServerProcess } from '../support/server-process.ts';
import { freshPlan, submit } from '../support/submissions.ts';
import { waitUntil } from '../support/wait-until.ts';

const victims = ['server', 'receiver', 'both'] as const;
const readers = 4;
const beforeKillMs = 400;

t.test('case 21: kill -9 of server and receiver: each acknowledged look-up stands once in the output', async (t) => {
  const port = await findFreePort();
  const home = await makeServerHome({
    subscriptionOrigins: [`http://127.0.0.1:${port}`],
    settings: { CPIS_DANGEROUSLY_ALLOW_LOOPBACK_ENDPOINTS: 'true', CPIS_LOG_LEVEL: 'warn' },
  });
  t.teardown(() => home.remove());
  const [authority] = home.registry.authorities;
  const [careProvider] = home.registry.careProviders;
  if (authority === undefined || careProvider === undefined) throw new Error('the registry is incomplete');
  const la = openFhirClient(home.baseUrl, authority);
  const epr = openFhirClient(home.baseUrl, careProvider);
  const output = join(home.folder, 'accesses.ndjson');
  const openReceiver = async () => {
    const opened = await startReceiver({
      ...{ folder: home.folder, name: 'la', authorization: 'Bearer a', port, args: ['--output', output] },
      keysUrl: `${home.origin}/.well-known/notification-keys.json`,
    });
    t.teardown(() => opened.killNow());
    return opened;
  };
  let receiver = await openReceiver();
  let server = await startServerProcess(home);
  t.teardown(() => server.killNow());
  const plan = freshPlan();
  await submit(la, plan);
  const subscription = {
    ...{ resourceType: 'Subscription', status: 'requested', reason: 'x', criteria: 'AuditEvent' },
    channel: {
      ...{ type: 'rest-hook', endpoint: receiver.endpoint, payload: 'application/fhir+json' },
      header: ['Authorization: Bearer a'],
    },
  };
  const created = await la.request<Subscription>('POST', 'Subscription', subscription);
  t.equal(created.status, 201);

  const acknowledged: string[] = [];
  let ended = false;
  const reading = Array.from({ length: readers }, async () => {
    while (!ended) {
      const requestId = randomUUID();
      try {
        const answer = await epr.request('GET', `Flag?patient=${plan.nhsNumber}`, undefined, {
          'x-request-id': requestId,
        });
        if (answer.status === 200) acknowledged.push(requestId);
      } catch {
        await pause(20);
      }
    }
  });
  for (const victim of victims) {
    await pause(beforeKillMs);
    if (victim !== 'receiver') await server.kill();
    if (victim !== 'server') {
      receiver.killNow();
      receiver = await openReceiver();
    }
    if (victim !== 'receiver') server = await startServerProcess(home);
  }
  await pause(beforeKillMs);
  ended = true;
  await Promise.all(reading);

  const readOutput = (): { readonly id: string; readonly event: AuditEvent }[] =>
    (existsSync(output) ? readFileSync(output, 'utf8') : '')
      .split('\n')
      .slice(0, -1)
      .map((line) => JSON.parse(line));
  const isComplete = (): boolean => {
    const told = new Set(readOutput().map(({ event }) => requestIdOf(event)));
    return acknowledged.every((requestId) => told.has(requestId));
  };
  // The authority is well again, and says so: the sender does not wait for its next probe.
  const { id } = created.body;
  t.equal((await la.request('PUT', `Subscription/${id}`, { ...subscription, id })).status, 200);
  await waitUntil('all have arrived', isComplete);
  await receiver.close();
  t.equal(await server.stop(), 0);
  const ids = readOutput().map(({ id }) => id);
  t.equal(new Set(ids).size, ids.length, 'each once');
  t.comment(
    `${acknowledged.length} look-ups acknowledged, ${ids.length} told, ${receiver.findRepeated().size} sent again`,
  );
});

t.test(
  'case 32: a server that was restored from a backup gives numbers anew: both sides say so, and nothing is lost',
  async (t) => {
    const port = await findFreePort();
    const home = await makeServerHome({
      subscriptionOrigins: [`http://127.0.0.1:${port}`],
      settings: { CPIS_DANGEROUSLY_ALLOW_LOOPBACK_ENDPOINTS: 'true', CPIS_LOG_LEVEL: 'warn' },
    });
    t.teardown(() => home.remove());
    const [authority] = home.registry.authorities;
    const [careProvider] = home.registry.careProviders;
    if (authority === undefined || careProvider === undefined) throw new Error('the registry is incomplete');
    const la = openFhirClient(home.baseUrl, authority);
    const epr = openFhirClient(home.baseUrl, careProvider);
    let server = await startServerProcess(home);
    t.teardown(() => server.killNow());
    const [output, keyFile] = [join(home.folder, 'accesses.ndjson'), join(home.folder, 'client.json')];
    writeFileSync(keyFile, JSON.stringify(authority.privateJwk), { mode: 0o600 });
    const asClient = ['--server', home.baseUrl, '--client-id', authority.clientId, '--key', keyFile];
    const receiver = await startReceiver({
      ...{ folder: home.folder, name: 'la', authorization: 'Bearer a', port, args: ['--output', output, ...asClient] },
      keysUrl: `${home.origin}/.well-known/notification-keys.json`,
    });
    t.teardown(() => receiver.killNow());
    const toldIds = (): string[] =>
      (existsSync(output) ? readFileSync(output, 'utf8') : '')
        .split('\n')
        .slice(0, -1)
        .map((line) => JSON.parse(line).id);
    const plan = freshPlan();
    await submit(la, plan);
    const content = 'http://hl7.org/fhir/uv/subscriptions-backport/StructureDefinition/backport-payload-content';
    const subscription = {
      ...{ resourceType: 'Subscription', status: 'requested', reason: 'x' },
      criteria: 'https://cpis-fhir.example.org/fhir/SubscriptionTopic/access-to-record',
      channel: {
        ...{ type: 'rest-hook', endpoint: receiver.endpoint, payload: 'application/fhir+json' },
        _payload: { extension: [{ url: content, valueCode: 'full-resource' }] },
        header: ['Authorization: Bearer a'],
      },
    };
    const created = await la.request<Subscription>('POST', 'Subscription', subscription);
    t.equal(created.status, 201);
    const lookUp = async () => t.equal((await epr.request('GET', `Flag?patient=${plan.nhsNumber}`)).status, 200);
    await lookUp();
    await waitUntil('the first event is in the output', () => toldIds().length === 1);
    await server.stop();
    const [data, backup] = [dirname(home.storeFile), join(home.folder, 'backup')];
    cpSync(data, backup, { recursive: true });
    server = await startServerProcess(home);
    await lookUp();
    await lookUp();
    await waitUntil('three events are in the output', () => toldIds().length === 3);
    await server.stop();
    t.notMatch(server.output(), 'event-numbers-behind');

    rmSync(data, { recursive: true });
    cpSync(backup, data, { recursive: true });
    chmodSync(data, 0o700);
    server = await startServerProcess(home);
    await lookUp();
    await waitUntil('the event is in the output: it is new, its number is not', () => toldIds().length === 4);
    await waitUntil('the server reports the number', () => server.output().includes('event-numbers-behind'));
    const { id } = created.body;
    const facts = `"authority":"${authority.organisationId}","subscription":"${id}","last":2,"known":3`;
    t.match(server.output(), facts);
    const metrics = await fetch(`${home.origin}/metrics`, {
      headers: { authorization: `Bearer ${await openFhirClient(home.baseUrl, home.registry.operator).token()}` },
    });
    t.match(
      await metrics.text(),
      new RegExp(`cpis_event_numbers_behind_total\\{authority="${authority.organisationId}"\\} [1-9]`),
    );
    await receiver.close();
    t.equal(await server.stop(), 0);
    t.equal(new Set(toldIds()).size, 4, 'each access once');
  },
);
