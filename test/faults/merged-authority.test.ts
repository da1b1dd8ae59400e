/** Authorities that are merged, or that the registry does not know, with the real server. */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Bundle, Subscription } from 'fhir/r4.js';
import t from 'tap';
import { startCpis } from '../../src/synthetic/cpis-process.ts';
import { type FhirClient, openFhirClient } from '../../src/synthetic/fhir-client.ts';
import { makeSyntheticRegistry } from '../../src/synthetic/synthetic-registry.ts';
import { openReceiver } from '../support/receiver.ts';
import { openWorld } from '../support/running-server.ts';
import { makeServerHome, startServerProcess } from '../support/server-process.ts';
import { freshPlan, resourcesOf, submit } from '../support/submissions.ts';

interface RegistryFile {
  organisations: { kind: string; gssCode?: string }[];
  clients: { clientId: string; organisation: string; subscriptionOrigins?: string[] }[];
}

const wanted = (endpoint: string) => ({
  ...{ resourceType: 'Subscription', status: 'requested', reason: 'x', criteria: 'AuditEvent' },
  channel: { type: 'rest-hook', endpoint, payload: 'application/fhir+json' },
});

async function subscribe(client: FhirClient, endpoint: string): Promise<void> {
  const { status } = await client.request('POST', 'Subscription', wanted(endpoint));
  if (status !== 201) throw new Error(`the Subscription was answered ${status}`);
}

t.test(
  'case 27: an authority is merged between the look-up and its notification: its successor is told, nobody else',
  async (t) => {
    const [former, successor, other] = await Promise.all([openReceiver(), openReceiver(), openReceiver()]);
    for (const endpoint of [former, successor, other]) t.teardown(() => endpoint.close());
    const world = await openWorld(t, { subscriptionOrigins: [former.origin, other.origin] });
    const [la, otherLa] = world.authorities;
    const [epr] = world.careProviders;
    if (la === undefined || otherLa === undefined || epr === undefined) throw new Error('the registry is incomplete');
    const [plan, foreign] = [freshPlan(), freshPlan()];
    await submit(la, plan);
    await submit(otherLa, foreign);
    former.behave({ kind: 'answer', status: 503 });
    await subscribe(la, `${former.origin}/former`);
    await subscribe(otherLa, `${other.origin}/other`);
    t.equal((await epr.request('GET', `Flag?patient=${plan.nhsNumber}`)).status, 200);
    await former.waitFor(1);

    // The successor runs the client of the authority that was: with its own keys, at its own endpoint.
    const file = join(world.folder, 'registry.json');
    const registry: RegistryFile = JSON.parse(readFileSync(file, 'utf8'));
    const { json, authorities } = await makeSyntheticRegistry({
      authorityNames: ['Northmoor (synthetic)'],
      careProviderNames: [],
      subscriptionOrigins: [successor.origin],
    });
    const [theirs] = (json as unknown as RegistryFile).clients;
    const [own] = authorities;
    if (theirs === undefined || own === undefined) throw new Error('the registry is incomplete');
    const clientId = 'successor-1';
    registry.clients = [...registry.clients.filter(({ organisation }) => organisation !== own.organisationId)];
    registry.clients.push({ ...theirs, clientId });
    writeFileSync(file, JSON.stringify(registry));
    t.same(await world.server.reloadRegistry(), []);

    const heir = openFhirClient(world.server.baseUrl, { ...own, clientId });
    t.equal((await epr.request('GET', `Flag?patient=${plan.nhsNumber}`)).status, 200);
    former.behave({ kind: 'answer', status: 200 });
    await subscribe(heir, `${successor.origin}/successor`);
    await successor.waitFor(2);
    t.equal(former.received.length, 1, 'nothing more goes to where the authority was');
    t.equal(new Set(successor.received.map(({ path }) => path)).size, 2, 'before and after the merger');
    const { body } = await heir.request<Bundle>('GET', 'Subscription?status=error');
    t.match(resourcesOf<Subscription>({ body, status: 200, headers: new Headers() }), [
      { channel: { endpoint: `${former.origin}/former` } },
    ]);
    t.same(other.received, [], 'nor to anybody else');

    registry.organisations = registry.organisations.filter(({ gssCode }) => gssCode !== own.organisationId);
    registry.clients = registry.clients.filter((client) => client.clientId !== clientId);
    writeFileSync(file, JSON.stringify(registry));
    t.match(
      await world.server.reloadRegistry(),
      [
        new RegExp(
          `authority ${own.organisationId} is missing, and the store has plans and Subscriptions of it; add it again`,
        ),
      ],
      'it cannot be dropped',
    );
  },
);

t.test(
  'case 27: a start is refused while an authority that is owed a notification is missing in the registry',
  async (t) => {
    const endpoint = await openReceiver();
    t.teardown(() => endpoint.close());
    const home = await makeServerHome({
      subscriptionOrigins: [endpoint.origin],
      settings: { CPIS_DANGEROUSLY_ALLOW_LOOPBACK_ENDPOINTS: 'true', CPIS_LOG_LEVEL: 'warn' },
    });
    t.teardown(() => home.remove());
    const [authority] = home.registry.authorities;
    const [careProvider] = home.registry.careProviders;
    if (authority === undefined || careProvider === undefined) throw new Error('the registry is incomplete');
    const la = openFhirClient(home.baseUrl, authority);
    const plan = freshPlan();
    endpoint.behave({ kind: 'answer', status: 503 });
    let server = await startServerProcess(home);
    t.teardown(() => server.killNow());
    await submit(la, plan);
    await subscribe(la, `${endpoint.origin}/hook`);
    const epr = openFhirClient(home.baseUrl, careProvider);
    t.equal((await epr.request('GET', `Flag?patient=${plan.nhsNumber}`)).status, 200);
    await endpoint.waitFor(1);
    await server.stop();

    const file = join(home.folder, 'registry.json');
    const before = readFileSync(file, 'utf8');
    const registry: RegistryFile = JSON.parse(before);
    registry.organisations = registry.organisations.filter(({ gssCode }) => gssCode !== authority.organisationId);
    registry.clients = registry.clients.filter(({ organisation }) => organisation !== authority.organisationId);
    writeFileSync(file, JSON.stringify(registry));
    endpoint.behave({ kind: 'answer', status: 200 });
    const received = endpoint.received.length;
    const refused = await startCpis({
      args: ['serve'],
      env: { PATH: process.env['PATH'], ...home.settings },
      isReady: () => true,
    });
    t.equal(await refused.exited, 2);
    const problem = `authority ${authority.organisationId} is missing, and the store has plans and Subscriptions and owed notifications`;
    t.match(refused.output(), problem);
    t.notMatch(refused.output(), /\bat .*\.ts:/, 'without a stack');
    t.equal(endpoint.received.length, received, 'nothing is sent for it');
    writeFileSync(file, before);
    server = await startServerProcess(home);
    await endpoint.waitFor(received + 1);
    t.equal(await server.stop(), 0);
  },
);
