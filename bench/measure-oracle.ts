/**
 * `node bench/measure-oracle.ts [pairs]`: measures whether response times disclose hidden resources. Sends each request
 * in turn for a hidden and for an absent resource, of another child each time. Prints JSON with the medians in
 * milliseconds for each path, and how often the hidden one took longer over all pairs of times. 0.5 means no
 * difference.
 */
import { randomUUID } from 'node:crypto';
import type { Bundle } from 'fhir/r4.js';
import type { FhirClient } from '../src/synthetic/fhir-client.ts';
import { buildFlag } from '../src/synthetic/synthetic-plan.ts';
import { openWorld } from '../test/support/running-server.ts';
import { freshNhsNumber, freshPlan, idIn, referenceSystem, resourcesOf, submit } from '../test/support/submissions.ts';

const pairs = Number(process.argv[2] ?? 400);
const warmUp = 40;

interface Named {
  readonly number: string;
  readonly flag: string;
  readonly reference: string;
  readonly subscription: string;
  readonly event: string;
}
interface Probe {
  readonly name: string;
  readonly client: FhirClient;
  readonly hidden: readonly Named[];
  readonly absent: readonly Named[];
  readonly method: string;
  readonly path: (named: Named) => string;
  readonly body?: (named: Named) => unknown;
  readonly headers?: Readonly<Record<string, string>>;
}

const nothing = (): Named => ({
  ...{ number: freshNhsNumber(), flag: randomUUID(), reference: randomUUID() },
  ...{ subscription: randomUUID(), event: randomUUID() },
});

async function time(baseUrl: string, { client, method, path, body, headers }: Probe, named: Named) {
  const sent = body?.(named);
  const init = {
    method,
    headers: {
      authorization: `Bearer ${await client.token()}`,
      ...(sent === undefined ? {} : { 'content-type': 'application/fhir+json' }),
      ...headers,
    },
    ...(sent === undefined ? {} : { body: JSON.stringify(sent) }),
  };
  const startedMs = performance.now();
  const answer = await fetch(`${baseUrl}/${path(named)}`, init);
  await answer.arrayBuffer();
  return { tookMs: performance.now() - startedMs, status: answer.status };
}

const median = (times: readonly number[]): number => [...times].sort((a, b) => a - b)[times.length >> 1] ?? Number.NaN;
const round = (value: number, digits: number): number => Number(value.toFixed(digits));

/** Returns how often a value of the first list is larger than one of the second. */
function shareAbove(times: readonly number[], others: readonly number[]): number {
  let above = 0;
  for (const time of times) for (const other of others) above += time > other ? 1 : time === other ? 0.5 : 0;
  return above / (times.length * others.length);
}

async function compare(baseUrl: string, probe: Probe): Promise<object> {
  const times = { hidden: [] as number[], absent: [] as number[] };
  const statuses = new Set<number>();
  const named = { hidden: probe.hidden, absent: probe.absent };
  for (let pair = 0; pair < warmUp + pairs; pair++) {
    // Alternates which of the two comes first.
    const order = pair % 2 === 0 ? (['hidden', 'absent'] as const) : (['absent', 'hidden'] as const);
    for (const which of order) {
      const { tookMs, status } = await time(baseUrl, probe, named[which][pair] as Named);
      statuses.add(status);
      if (pair >= warmUp) times[which].push(tookMs);
    }
  }
  return {
    path: probe.name,
    status: [...statuses].join(' '),
    hiddenMs: round(median(times.hidden), 2),
    absentMs: round(median(times.absent), 2),
    hiddenSlower: round(shareAbove(times.hidden, times.absent), 3),
  };
}

const teardowns: (() => unknown)[] = [];
const origin = 'https://subscriber.example.org';
const world = await openWorld(
  { teardown: (close) => teardowns.push(close) },
  { settings: { CPIS_LOG_LEVEL: 'warn' }, subscriptionOrigins: [origin, origin] },
);
try {
  const { baseUrl } = world.server;
  const [la, otherLa] = world.authorities as [FhirClient, FhirClient];
  const [epr] = world.careProviders as [FhirClient];
  const count = warmUp + pairs;
  const submitPlans = async (client: FhirClient) => {
    const plans = Array.from({ length: count }, () => freshPlan());
    const ids: string[] = [];
    for (let at = 0; at < count; at += 100) ids.push(...(await submit(client, ...plans.slice(at, at + 100))));
    return plans.map((plan, index) => ({ number: plan.nhsNumber, reference: plan.reference, flag: ids[index] ?? '' }));
  };
  await submitPlans(otherLa);
  const [held, withdrawn] = [await submitPlans(la), await submitPlans(la)];
  for (const { flag } of withdrawn) await la.request('DELETE', `Flag/${flag}`);
  const made = await la.request('POST', 'Subscription', {
    ...{ resourceType: 'Subscription', status: 'off', reason: 'reads', criteria: 'AuditEvent?type=rest' },
    channel: { type: 'rest-hook', endpoint: `${origin}/hook`, payload: 'application/fhir+json' },
  });
  const events = await la.request<Bundle>('GET', 'AuditEvent?_count=1');
  const others = { subscription: idIn(made.headers.get('location')), event: resourcesOf(events)[0]?.id ?? '' };
  const hidden: readonly Named[] = held.map((plan) => ({ ...plan, ...others }));
  const gone: readonly Named[] = withdrawn.map((plan) => ({ ...plan, ...others }));
  const mine = freshPlan();
  const flagOn = (x: Named) => ({ ...buildFlag(mine), subject: { reference: `Patient/${x.number}` } });
  const identifier = (x: Named): string => encodeURIComponent(`${referenceSystem}|${x.reference}`);
  const jsonPatch = { 'content-type': 'application/json-patch+json' };

  const reads: readonly [name: string, path: (x: Named) => string][] = [
    ['read Flag', (x) => `Flag/${x.flag}`],
    ['vread Flag', (x) => `Flag/${x.flag}/_history/1`],
    ['history of Flag', (x) => `Flag/${x.flag}/_history`],
    ['read Patient', (x) => `Patient/${x.number}`],
    ['read Subscription', (x) => `Subscription/${x.subscription}`],
    ['read AuditEvent', (x) => `AuditEvent/${x.event}`],
    ['search Flag by id', (x) => `Flag?_id=${x.flag}`],
    ['search Flag by patient', (x) => `Flag?patient=${x.number}`],
    ['search Flag by identifier', (x) => `Flag?identifier=${identifier(x)}`],
    ['search Patient by id', (x) => `Patient?_id=${x.number}`],
    ['search AuditEvent by patient', (x) => `AuditEvent?patient=${x.number}`],
  ];
  const as = (client: FhirClient, of: readonly Named[], suffix: string) => {
    // Uses a child of its own, because a repeated request may be faster.
    const absent = Array.from({ length: count }, nothing);
    return (name: string, more: Pick<Probe, 'method' | 'path' | 'body' | 'headers'>): Probe => {
      return { name: `${name}, ${suffix}`, client, hidden: of, absent, ...more };
    };
  };
  const another = as(otherLa, hidden, 'another authority');
  const later = as(otherLa, gone, 'another authority, withdrawn');
  const nhs = as(epr, gone, 'care provider, withdrawn');
  const get = (path: Probe['path']) => ({ method: 'GET', path });
  const probes: Probe[] = [
    ...reads.map(([name, path]) => another(name, get(path))),
    another('read Flag, If-None-Match', { ...get((x) => `Flag/${x.flag}`), headers: { 'if-none-match': 'W/"1"' } }),
    another('update Flag', {
      method: 'PUT',
      path: (x) => `Flag/${x.flag}`,
      body: (x) => ({ ...flagOn(x), id: x.flag }),
    }),
    another('update Flag, If-Match', {
      ...{ method: 'PUT', path: (x) => `Flag/${x.flag}`, body: (x) => ({ ...flagOn(x), id: x.flag }) },
      headers: { 'if-match': 'W/"1"' },
    }),
    another('patch Flag', { method: 'PATCH', path: (x) => `Flag/${x.flag}`, body: () => [], headers: jsonPatch }),
    another('delete Flag', { method: 'DELETE', path: (x) => `Flag/${x.flag}` }),
    another('conditional delete', { method: 'DELETE', path: (x) => `Flag?identifier=${identifier(x)}` }),
    another('conditional patch', {
      ...{ method: 'PATCH', path: (x) => `Flag?identifier=${identifier(x)}`, body: () => [], headers: jsonPatch },
    }),
    another('conditional update', {
      ...{ method: 'PUT', path: (x) => `Flag?_id=${x.flag}`, body: (x) => ({ ...flagOn(x), id: x.flag }) },
    }),
    another('create a Flag on the Patient', { method: 'POST', path: () => 'Flag', body: flagOn }),
    ...['read Flag', 'vread Flag', 'history of Flag'].flatMap((wanted) =>
      reads.filter(([name]) => name === wanted).map(([name, path]) => later(name, get(path))),
    ),
    ...['search Flag by patient', 'read Flag', 'read Patient', 'search AuditEvent by patient'].flatMap((wanted) =>
      reads.filter(([name]) => name === wanted).map(([name, path]) => nhs(name, get(path))),
    ),
  ];
  const paths: object[] = [];
  for (const probe of probes) paths.push(await compare(baseUrl, probe));
  process.stdout.write(`${JSON.stringify({ pairs, paths }, null, 2)}\n`);
} finally {
  for (const close of teardowns.reverse()) await close();
}
