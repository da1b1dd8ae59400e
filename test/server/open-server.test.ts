import { writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { buildLogger } from '../../src/server/logger.ts';
import { type OpenServerOptions, openServer } from '../../src/server/open-server.ts';
import { loadSettings } from '../../src/settings/settings.ts';
import type { Store } from '../../src/store/store.ts';
import { type FhirClient, openFhirClient } from '../../src/synthetic/fhir-client.ts';
import { makeSyntheticRegistry } from '../../src/synthetic/synthetic-registry.ts';
import { freshPlan, submit } from '../support/submissions.ts';
import { makeTempFolder } from '../support/temp-folder.ts';

const options: OpenServerOptions = {
  logger: buildLogger({ level: 'silent' }),
  onFatal: (error) => {
    throw error;
  },
};
const broken = (): Promise<never> => Promise.reject(new Error('the database does not respond'));

/** Each step of a start at which the store can fail, as a store that fails there. */
const failures: Readonly<Record<string, (store: Store) => Partial<Store>>> = {
  'the backlog cannot be read': ({ deliveries }) => ({ deliveries: { ...deliveries, backlog: broken } }),
  'changes cannot be watched': () => ({ watchResources: broken }),
  'the Subscriptions cannot be read': () => ({ search: broken }),
};

/** Replaces parts of a store; its getters stay live. */
function withPart(store: Store, part: Partial<Store>): Store {
  return new Proxy(store, {
    get: (target, name) => {
      const value = name in part ? part[name as keyof Store] : target[name as keyof Store];
      return typeof value === 'function' && !(name in part) ? value.bind(target) : value;
    },
  });
}

async function openHome(t: { teardown(close: () => unknown): unknown }) {
  const folder = makeTempFolder(t);
  const registry = await makeSyntheticRegistry({
    authorityNames: ['Northmoor (synthetic)'],
    careProviderNames: ['Northmoor General (synthetic)'],
    subscriptionOrigins: ['https://la.example.org'],
  });
  writeFileSync(join(folder, 'registry.json'), JSON.stringify(registry.json));
  const settings = (more: Readonly<Record<string, string>> = {}) =>
    loadSettings({
      CPIS_PORT: '0',
      CPIS_DATA_FOLDER: join(folder, 'data'),
      CPIS_REGISTRY_FILE: join(folder, 'registry.json'),
      ...more,
    });
  return { registry, settings };
}

/** The folder lock, both threads and the database file are free again: the server starts and performs a look-up. */
async function startsAndAnswers(t: Pick<Test, 'equal'>, { registry, settings }: Awaited<ReturnType<typeof openHome>>) {
  const server = await openServer(settings(), options);
  const [careProvider] = registry.careProviders;
  if (careProvider === undefined) throw new Error('no care provider');
  const { status } = await openFhirClient(server.baseUrl, careProvider).request('GET', 'Flag?patient=9990000018');
  t.equal(status, 200);
  await server.close();
}

for (const [name, fail] of Object.entries(failures)) {
  t.test(`a start that fails because ${name} closes what it opened`, async (t) => {
    const home = await openHome(t);
    const aroundStore = (store: Store): Store => withPart(store, fail(store));
    await t.rejects(openServer(home.settings(), { ...options, aroundStore }), /does not respond/);
    await startsAndAnswers(t, home);
  });
}

t.test('a start on a port in use closes what it opened', async (t) => {
  const home = await openHome(t);
  const taken = createServer();
  await new Promise<void>((resolve) => taken.listen(0, '127.0.0.1', resolve));
  t.teardown(() => new Promise((resolve) => taken.close(resolve)));
  const address = taken.address();
  if (address === null || typeof address === 'string') throw new Error('no port');
  await t.rejects(openServer(home.settings({ CPIS_PORT: String(address.port) }), options), {
    name: 'SettingsError',
    message: /another process listens on port/,
  });
  await startsAndAnswers(t, home);
});

t.test('a second close resolves and does nothing', async (t) => {
  const { settings } = await openHome(t);
  const server = await openServer(settings(), options);
  await server.close();
  await t.resolves(server.close());
});

const subscription = {
  ...{ resourceType: 'Subscription', status: 'off', reason: 'x', criteria: 'AuditEvent' },
  channel: { type: 'rest-hook', endpoint: 'https://la.example.org/hook', payload: 'application/fhir+json' },
};

/** Everything that an authority can have in the store, each alone. */
const possessions: Readonly<Record<string, (la: FhirClient) => Promise<() => Promise<void>>>> = {
  plans: async (la) => {
    const [id = ''] = await submit(la, freshPlan());
    return async () => void (await la.request('DELETE', `Flag/${id}`));
  },
  Subscriptions: async (la) => {
    const { status, body } = await la.request<{ id: string }>('POST', 'Subscription', subscription);
    if (status !== 201) throw new Error(JSON.stringify(body));
    return async () => void (await la.request('DELETE', `Subscription/${body.id}`));
  },
};

for (const [held, hold] of Object.entries(possessions)) {
  t.test(`an authority with ${held} cannot be left out of the registry, at a start or a reload`, async (t) => {
    const home = await openHome(t);
    const file = home.settings().registryFile;
    const full = JSON.stringify(home.registry.json);
    const [authority] = home.registry.authorities;
    if (authority === undefined) throw new Error('there is one');
    const json = home.registry.json as unknown as {
      organisations: { gssCode?: string }[];
      clients: { organisation: string }[];
    };
    const without = JSON.stringify({
      organisations: json.organisations.filter(({ gssCode }) => gssCode !== authority.organisationId),
      clients: json.clients.filter(({ organisation }) => organisation !== authority.organisationId),
    });
    const problem = `organisations: local authority ${authority.organisationId} is missing, and the store has ${held} of it; add it again, with its name and telephones`;

    let server = await openServer(home.settings(), options);
    const la = openFhirClient(server.baseUrl, authority);
    const release = await hold(la);
    writeFileSync(file, without);
    t.same(await server.reloadRegistry(), [problem]);
    await server.close();
    await t.rejects(openServer(home.settings(), options), { name: 'RegistryError', problems: [problem] });

    writeFileSync(file, full);
    server = await openServer(home.settings({ CPIS_PORT: new URL(server.origin).port }), options);
    await release();
    writeFileSync(file, without);
    t.same(await server.reloadRegistry(), [], 'it can go when nothing of it is left');
    await server.close();
    await (await openServer(home.settings(), options)).close();
  });
}
