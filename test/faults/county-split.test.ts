/**
 * A county is split between two successors, with real processes: plans pass while NHS staff look children up, successors
 * submit, endpoints fail, and the server is killed. No look-up answers other than before, and no notification is lost or
 * reaches an authority that it does not concern. TRANSFER_PLANS sets the number of children, TRANSFER_SEED
 * the seed. 100,000 take an hour on a small machine: TAP_TIMEOUT=7200 TRANSFER_PLANS=100000 node test/faults/county-split.test.ts
 */
import { randomUUID } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { setTimeout as pause } from 'node:timers/promises';
import type { Bundle, Flag, Organization, Parameters } from 'fhir/r4.js';
import t, { type Test } from 'tap';
import { addDays, londonDate } from '../../src/cpis/london-date.ts';
import { type FhirClient, openFhirClient } from '../../src/synthetic/fhir-client.ts';
import { buildBatch, type SyntheticPlan, syntheticNhsNumbers } from '../../src/synthetic/synthetic-plan.ts';
import { runCommandHere } from '../support/run-cpis.ts';
import { makeServerHome, type ServerProcess, startServerProcess } from '../support/server-process.ts';
import { seededRandom } from '../support/simulation/random.ts';
import { readStoredAudits } from '../support/stored-audits.ts';
import { kindOf, resourcesOf } from '../support/submissions.ts';
import { subscribe } from '../support/transfers.ts';
import { waitUntil } from '../support/wait-until.ts';

const children = Number(process.env['TRANSFER_PLANS'] ?? 120);
const seed = Number(process.env['TRANSFER_SEED'] ?? 1);
const kills = children > 1_000 ? 4 : 1;
const lookUpWorkers = 4;
const random = seededRandom(seed);

/** An endpoint that keeps the ids of the events that it accepted. */
async function openEndpoint(test: Test) {
  const accepted = new Set<string>();
  let failing = 0;
  const server = createServer((request, response) => {
    const isAccepted = !random.chance(failing);
    if (isAccepted) accepted.add(request.url?.split('/').at(-1) ?? '');
    request.resume().on('end', () => response.writeHead(isAccepted ? 200 : 503).end());
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  test.teardown(() => {
    server.closeAllConnections();
    server.close();
  });
  return {
    origin: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    accepted,
    fail(share: number) {
      failing = share;
    },
  };
}

interface Child {
  readonly plans: readonly SyntheticPlan[];
  readonly successor: 1 | 2;
  /** The neighbour holds a plan on the child too. */
  readonly shared: boolean;
  /** Its successor amends the plans while others pass. */
  readonly amended: boolean;
}

function makeChildren(): readonly Child[] {
  const numbers = syntheticNhsNumbers();
  return Array.from({ length: children }, (_, index) => {
    const nhsNumber = numbers.next().value;
    const base = { nhsNumber, family: 'Example', given: 'Sam', birthDate: '2019-05-06', start: '2025-02-03' };
    const referenceSystem = 'https://county.example.org/cases';
    const plan = { ...base, kind: kindOf('CPP'), reference: `C-${index}`, referenceSystem };
    const second = { ...plan, kind: kindOf('LAC'), reference: `L-${index}` };
    return {
      plans: random.chance(0.1) ? [plan, second] : [plan],
      successor: random.chance(0.4) ? 2 : 1,
      shared: random.chance(0.05),
      amended: random.chance(0.1),
    };
  });
}

async function submitAll(client: FhirClient, plans: readonly SyntheticPlan[]): Promise<void> {
  for (let at = 0; at < plans.length; at += 100) {
    const answer = await client.request<Bundle>('POST', '', buildBatch(plans.slice(at, at + 100)));
    const refused = (answer.body.entry ?? []).find(({ response }) => !/^20[01]/.test(response?.status ?? ''));
    if (refused !== undefined) throw new Error(JSON.stringify(refused));
  }
}

/** What NHS staff see of plans, without what a transfer changes. */
function contentOf(flags: readonly Flag[]): string {
  const contents = flags.map(({ meta: _, author: __, ...content }) => JSON.stringify(content));
  return contents.sort().join();
}

t.test(`case 33: ${children} children of a county pass to two successors, seed ${seed}`, async (t) => {
  const endpoints = await Promise.all([openEndpoint(t), openEndpoint(t), openEndpoint(t), openEndpoint(t)]);
  const [county, east, west, neighbour] = endpoints;
  if (!county || !east || !west || !neighbour) throw new Error('no endpoints');
  const home = await makeServerHome({
    authorityNames: ['County', 'East', 'West', 'Neighbour'],
    subscriptionOrigins: endpoints.map(({ origin }) => origin),
    unchecked: children > 1_000,
    settings: {
      CPIS_LOG_LEVEL: 'error',
      CPIS_DANGEROUSLY_ALLOW_LOOPBACK_ENDPOINTS: 'true',
      CPIS_NOTIFICATION_RATE_PER_AUTHORITY: '2000',
    },
  });
  t.teardown(() => home.remove());
  const { registry, baseUrl } = home;
  let server: ServerProcess = await startServerProcess(home);
  t.teardown(() => server.stop());
  const clients = registry.authorities.map((client) => openFhirClient(baseUrl, client));
  const ids = registry.authorities.map(({ organisationId }) => organisationId);
  const [asCounty, , , asNeighbour] = clients;
  const [professional] = registry.careProviders;
  if (!asCounty || !asNeighbour || !professional) throw new Error('the registry is incomplete');
  const operator = openFhirClient(baseUrl, registry.operator);
  for (const [index, client] of clients.entries()) {
    const endpoint = `${endpoints[index]?.origin}/hook`;
    await subscribe(client, { channel: { type: 'rest-hook', endpoint, payload: 'application/fhir+json' } });
  }
  const all = makeChildren();
  const startedMs = performance.now();
  await submitAll(
    asCounty,
    all.flatMap(({ plans }) => plans),
  );
  const other = { kind: kindOf('LAC'), referenceSystem: 'https://neighbour.example.org/cases' };
  await submitAll(
    asNeighbour,
    all.flatMap(({ plans, shared }) => (shared ? [{ ...plans[0], ...other } as SyntheticPlan] : [])),
  );
  t.comment(`submitted after ${Math.round(performance.now() - startedMs)} ms`);

  const epr = openFhirClient(baseUrl, professional);
  const lookUp = async ({ plans }: Child, requestId: string = randomUUID()) => {
    const path = `Flag?patient=${plans[0]?.nhsNumber}`;
    const answer = await epr.request<Bundle>('GET', path, undefined, { 'x-request-id': requestId });
    if (answer.status !== 200) throw new Error(`the look-up was answered ${answer.status}`);
    return resourcesOf<Flag>(answer).filter(({ resourceType }) => resourceType === 'Flag');
  };
  const sample = all.filter((_, index) => index < 400 || random.chance(0.01));
  const before = new Map<Child, string>();
  for (const child of sample) before.set(child, contentOf(await lookUp(child)));

  // The vesting day: the county's endpoint is off, and that of a successor fails often.
  county.fail(1);
  east.fail(0.3);
  const file = join(home.folder, 'registry.json');
  const json = JSON.parse(readFileSync(file, 'utf8')) as { organisations: Record<string, unknown>[] };
  const term = { validTo: addDays(londonDate(Date.now()), -1), replacedBy: [ids[1], ids[2]] };
  json.organisations = json.organisations.map((each) => (each['gssCode'] === ids[0] ? { ...each, ...term } : each));
  writeFileSync(file, JSON.stringify(json));
  process.kill(server.pid, 'SIGHUP');
  await waitUntil('the registry is reloaded', async () => {
    const { body } = await operator.request<Organization>('GET', `Organization/${ids[0]}`);
    return body.active === false;
  });

  /** Look-ups that were answered, by request id, with the authorities that they named. */
  const answered = new Map<string, { readonly child: Child; readonly authors: readonly string[] }>();
  const problems: string[] = [];
  const passed = new Set<Child>();
  let over = false;
  const work = async (run: () => Promise<void>): Promise<void> => {
    while (!over) await run().catch(() => pause(20));
  };
  const looking = Array.from({ length: lookUpWorkers }, () =>
    work(async () => {
      const child = sample[random.between(0, sample.length - 1)];
      if (child === undefined) return;
      const requestId = randomUUID();
      const hadPassed = passed.has(child);
      const flags = await lookUp(child, requestId);
      const authors = flags.map(({ author }) => author?.reference?.slice('Organization/'.length) ?? '');
      answered.set(requestId, { child, authors });
      if (!child.amended && contentOf(flags) !== before.get(child))
        problems.push('a look-up answers other than before');
      if (flags.length !== child.plans.length + (child.shared ? 1 : 0)) problems.push('another number of plans');
      const successor = ids[child.successor] ?? '';
      if (authors.some((author) => ![ids[0], successor, ids[3]].includes(author))) problems.push('a wrong authority');
      if (hadPassed && authors.includes(ids[0] ?? '')) problems.push('a plan went back');
      if (!authors.includes(ids[0] ?? '')) passed.add(child);
    }),
  );
  const amending = work(async () => {
    const ready = [...passed].filter(({ amended }) => amended);
    const child = ready[random.between(0, Math.max(0, ready.length - 1))];
    await pause(10);
    const client = child === undefined ? undefined : clients[child.successor];
    if (child === undefined || client === undefined) return;
    await submitAll(
      client,
      child.plans.map((plan) => ({ ...plan, start: `2025-03-${random.between(10, 28)}` })),
    );
  });

  const keyFile = join(home.folder, 'operator.json');
  writeFileSync(keyFile, JSON.stringify(registry.operator.privateJwk), { mode: 0o600 });
  const transfer = async (to: 1 | 2) => {
    const list = join(home.folder, `list-${to}.csv`);
    const own = all.filter(({ successor }) => successor === to);
    writeFileSync(list, `nhs_number\n${own.map(({ plans }) => plans[0]?.nhsNumber).join('\n')}\n`);
    const { clientId } = registry.operator;
    return runCommandHere(
      ['transfer', '--from', ids[0] ?? '', '--to', ids[to] ?? '', '--list', list, '--server', baseUrl].concat([
        ...['--client-id', clientId, '--key', keyFile],
      ]),
    );
  };
  const transferMs = performance.now();
  const killing = (async () => {
    for (let round = 0; round < kills && !over; round += 1) {
      await pause(random.between(200, 1_500));
      await server.kill();
      server = await startServerProcess(home);
    }
  })();
  const runs = [await transfer(1), await transfer(2)];
  await killing;
  t.comment(`transferred after ${Math.round(performance.now() - transferMs)} ms, ${answered.size} look-ups meanwhile`);
  await pause(200);
  over = true;
  await Promise.all([...looking, amending]);
  for (const { code, out, err } of runs) t.equal(code, 0, `${out}${err}`);
  for (const { out } of runs) t.match(out, /They agree/);
  t.strictSame(problems, []);

  // Every endpoint is well again; everything that is owed arrives.
  county.fail(0);
  east.fail(0);
  const owed = async (id: string): Promise<number> => {
    const { body } = await operator.request<Parameters>('POST', `Organization/${id}/$replay-deliveries`);
    return body.parameter?.find(({ name }) => name === 'undelivered')?.valueInteger ?? 0;
  };
  for (const id of ids)
    await waitUntil(`${id} is owed nothing`, async () => (await owed(id)) === 0, 60_000 + 20 * children);
  t.comment(`delivered after ${Math.round(performance.now() - transferMs)} ms`);
  await server.stop();

  const db = new DatabaseSync(home.storeFile, { readOnly: true });
  t.teardown(() => db.close());
  const flags = db.prepare("SELECT labels, version FROM resource WHERE type = 'Flag' AND deleted = 0").all();
  const ownedBy = (id = ''): number => flags.filter(({ labels }) => String(labels).includes(`"owner:${id}"`)).length;
  const planCount = (of: (child: Child) => boolean): number =>
    all.filter(of).reduce((sum, { plans }) => sum + plans.length, 0);
  t.equal(ownedBy(ids[0]), 0, 'the county holds nothing');
  t.equal(
    ownedBy(ids[1]),
    planCount(({ successor }) => successor === 1),
    'every plan passed once to the east',
  );
  t.equal(
    ownedBy(ids[2]),
    planCount(({ successor }) => successor === 2),
    'and to the west',
  );
  t.equal(ownedBy(ids[3]), all.filter(({ shared }) => shared).length);

  const delivered = new Map<number, string[]>();
  for (const row of db.prepare('SELECT seq, authority FROM delivered').all()) {
    const seq = Number(row['seq']);
    delivered.set(seq, [...(delivered.get(seq) ?? []), String(row['authority'])]);
  }
  let lookUps = 0;
  let lost = 0;
  let elsewhere = 0;
  for (const { seq, body } of readStoredAudits(db, "subtype = 'search-type'")) {
    const { id, entity = [] } = JSON.parse(body) as {
      id: string;
      entity?: { what?: { identifier?: { value?: string } } }[];
    };
    const known = answered.get(
      entity.find(({ what }) => what?.identifier !== undefined)?.what?.identifier?.value ?? '',
    );
    if (known === undefined) continue;
    lookUps += 1;
    const { child, authors } = known;
    const successor = child.successor;
    const expected = [[...(authors.includes(ids[0] ?? '') ? [0] : []), successor], ...(child.shared ? [[3]] : [])];
    const allowed = new Set(expected.flat());
    if (!expected.every((any) => any.some((index) => endpoints[index]?.accepted.has(id)))) lost += 1;
    if (endpoints.some(({ accepted }, index) => accepted.has(id) && !allowed.has(index))) elsewhere += 1;
    if ((delivered.get(seq) ?? []).some((authority) => !allowed.has(ids.indexOf(authority)))) elsewhere += 1;
  }
  t.equal(lookUps, answered.size, 'every look-up that was answered is recorded');
  t.strictSame({ lost, elsewhere }, { lost: 0, elsewhere: 0 }, 'and notified to whom it concerns, and nobody else');
  const transferred = { toCounty: 0, toSuccessor: 0, undelivered: 0 };
  for (const { seq, labels } of readStoredAudits(db, "subtype = 'transferred'")) {
    const [authority = ''] = labels.map((label) => label.slice('viewer:'.length));
    transferred[authority === ids[0] ? 'toCounty' : 'toSuccessor'] += 1;
    if (delivered.get(seq)?.join() !== authority) transferred.undelivered += 1;
  }
  const allPlans = planCount(() => true);
  t.strictSame(
    transferred,
    { toCounty: allPlans, toSuccessor: allPlans, undelivered: 0 },
    'both are notified of each plan',
  );
});
