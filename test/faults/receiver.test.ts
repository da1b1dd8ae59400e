/** I3 and I4 with the reference receiver: both sides are killed with kill -9, and each access is told once in the end. */
import { randomUUID } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import type { AuditEvent, Subscription } from 'fhir/r4.js';
import t from 'tap';
import { requestIdOf } from '../../src/cli/demo/audit-facts.ts';
import { openFhirClient } from '../../src/cli/demo/fhir-client.ts';
import { startReceiver } from '../../src/cli/demo/receiver-process.ts';
import { findServerPort } from '../../src/cli/demo/server-process.ts';
import { waitFor } from '../../src/cli/demo/wait-for.ts';
import { makeServerHome, startServerProcess } from '../support/server-process.ts';
import { freshPlan, submit } from '../support/submissions.ts';

const victims = ['server', 'receiver', 'both'] as const;
const readers = 4;
const beforeKillMs = 400;
const arrivalLimitMs = 40_000;

t.test('case 21: kill -9 of server and receiver: each acknowledged look-up stands once in the output', async (t) => {
  t.setTimeout(300_000);
  const port = await findServerPort();
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
  t.ok(await waitFor(isComplete, arrivalLimitMs), 'all have arrived');
  await receiver.close();
  t.equal(await server.stop(), 0);
  const ids = readOutput().map(({ id }) => id);
  t.equal(new Set(ids).size, ids.length, 'each once');
  t.comment(
    `${acknowledged.length} look-ups acknowledged, ${ids.length} told, ${receiver.findRepeated().size} sent again`,
  );
});
