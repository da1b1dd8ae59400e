/**
 * `node bench/bench-delivery.ts`: measures notifications to many endpoints, a third of them dead or slow, and prints
 * JSON. First it drains a backlog, then it reads at a steady rate and times each notification from the response to its
 * arrival.
 */
import { randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { openFhirClient } from '../src/synthetic/fhir-client.ts';
import { makeServerHome, startServerProcess } from '../test/support/server-process.ts';
import { startChild } from './child.ts';
import { loadPlans } from './plans.ts';
import type { Arrivals } from './receivers.ts';

const { values } = parseArgs({
  options: {
    endpoints: { type: 'string', default: '150' },
    backlog: { type: 'string', default: '3000' },
    reads: { type: 'string', default: '2000' },
    'per-second': { type: 'string', default: '100' },
    /** Makes every endpoint healthy. */
    'all-well': { type: 'boolean', default: false },
  },
});
const endpoints = Number(values.endpoints);
const backlog = Number(values.backlog);
const reads = Number(values.reads);
const perSecond = Number(values['per-second']);

const receivers = startChild('receivers.ts');
const origin = await receivers.ask<string>({ kind: 'open' });
const home = await makeServerHome({
  authorityNames: Array.from({ length: endpoints }, (_, index) => `Authority ${index + 1} (synthetic)`),
  subscriptionOrigins: Array.from({ length: endpoints }, () => origin),
  unchecked: true,
  settings: {
    CPIS_LOG_LEVEL: 'error',
    CPIS_DANGEROUSLY_ALLOW_LOOPBACK_ENDPOINTS: 'true',
    CPIS_NOTIFICATION_RATE_PER_AUTHORITY: '100000',
    CPIS_NOTIFICATION_CONCURRENCY_PER_AUTHORITY: '8',
  },
});
const server = await startServerProcess(home);
const nowMs = (): number => performance.timeOrigin + performance.now();
const rssMb = (): number =>
  Math.round(Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${server.pid}/status`, 'utf8'))?.[1] ?? 0) / 1024);
const kindOf = (index: number): string => {
  if (values['all-well'] || index % 3 !== 2) return 'well';
  return index % 6 === 2 ? 'dead' : 'slow';
};

const [reader] = home.registry.careProviders;
if (reader === undefined) throw new Error('the registry has no care provider');
const answered = new Map<string, number>();
const token = await openFhirClient(home.baseUrl, reader).token();
let refused = 0;

async function lookUp(nhsNumber: string): Promise<string> {
  const requestId = randomUUID();
  const headers = { authorization: `Bearer ${token}`, 'x-request-id': requestId };
  const response = await fetch(`${home.baseUrl}/Flag?patient=${nhsNumber}`, { headers });
  await response.arrayBuffer();
  if (response.status !== 200) refused += 1;
  answered.set(requestId, nowMs());
  return requestId;
}

/** Polls the receivers until the expected number has arrived or two minutes have passed. */
async function waitFor(count: number): Promise<Map<string, number>> {
  const arrivals = new Map<string, number>();
  for (const endMs = nowMs() + 300_000; arrivals.size < count && nowMs() < endMs; await sleep(100)) {
    for (const [id, atMs] of (await receivers.ask<Arrivals>({ kind: 'read' })).arrived) arrivals.set(id, atMs);
  }
  return arrivals;
}

try {
  const { childrenOf } = await loadPlans(home, endpoints);
  const children = childrenOf.map(([child = '']) => child);
  let wellOwed = 0;
  for (let index = 0; index < backlog; ) {
    const part = Array.from({ length: Math.min(32, backlog - index) }, (_, offset) => index + offset);
    await Promise.all(part.map((at) => lookUp(children[at % endpoints] ?? '')));
    wellOwed += part.filter((at) => kindOf(at % endpoints) === 'well').length;
    index += part.length;
  }
  const rssBeforeMb = rssMb();
  const beganMs = nowMs();
  const subscribed = home.registry.authorities.map(async (authority, index) => {
    const { status } = await openFhirClient(home.baseUrl, authority).request('POST', 'Subscription', {
      resourceType: 'Subscription',
      status: 'requested',
      reason: 'bench',
      criteria: 'AuditEvent?',
      channel: {
        type: 'rest-hook',
        endpoint: `${origin}/${kindOf(index)}/${index}`,
        payload: 'application/fhir+json',
      },
    });
    if (status !== 201) throw new Error(`creating the Subscription returned status ${status}`);
  });
  await Promise.all(subscribed);
  const subscribedMs = nowMs() - beganMs;
  const flowed = await waitFor(wellOwed);
  const drainedMs = Math.max(...flowed.values()) - beganMs;
  const rssAfterMb = rssMb();

  const wanted = new Set<string>();
  const asked: Promise<unknown>[] = [];
  const startMs = nowMs();
  for (let index = 0; index < reads; index += 1) {
    await sleep(Math.max(0, startMs + (index * 1_000) / perSecond - nowMs()));
    const at = index % endpoints;
    asked.push(
      lookUp(children[at] ?? '').then((id) => {
        if (kindOf(at) === 'well') wanted.add(id);
      }),
    );
  }
  await Promise.all(asked);
  const arrivals = await waitFor(wanted.size);
  const latencies = [...wanted]
    .map((id) => (arrivals.get(id) ?? Number.POSITIVE_INFINITY) - (answered.get(id) ?? 0))
    .sort((a, b) => a - b);
  const at = (share: number): number =>
    Math.round((latencies[Math.floor(share * latencies.length)] ?? Number.NaN) * 10) / 10;
  const report = {
    endpoints,
    deadOrSlow: Array.from({ length: endpoints }, (_, index) => kindOf(index)).filter((kind) => kind !== 'well').length,
    backlog: {
      events: backlog,
      owedToWell: wellOwed,
      arrived: flowed.size,
      subscribedMs: Math.round(subscribedMs),
      drainedMs: Math.round(drainedMs),
      perSecond: Math.round((flowed.size * 1_000) / drainedMs),
      rssBeforeMb,
      rssAfterMb,
    },
    steady: { reads, perSecond, refused, toWell: wanted.size, p50Ms: at(0.5), p99Ms: at(0.99), maxMs: at(0.999999) },
  };
  process.stdout.write(`${JSON.stringify(report, null, 2)}\n`);
} finally {
  await server.stop();
  home.remove();
  receivers.close();
}
