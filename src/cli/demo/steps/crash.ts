import { performance } from 'node:perf_hooks';
import { setTimeout as sleep } from 'node:timers/promises';
import type { AuditEvent } from 'fhir/r4.js';
import { custodiansOf, requestIdOf, searchAllEvents } from '../../../synthetic/audit-facts.ts';
import { waitFor } from '../../../synthetic/wait-for.ts';
import type { DemoChildren } from '../stage/demo-children.ts';
import { type LoadCounts, startLoad } from '../stage/load.ts';
import type { Stage } from '../stage/stage.ts';
import { countStrayArrivals } from './notifications.ts';

const concurrency = 16;
const beforeKillMs = 1_200;
const afterRestartMs = 1_200;
const backlogLimitMs = 60_000;

/** The figures of the comparison. */
export interface CrashCounts {
  /** Responses received completely. */
  readonly acknowledgedReads: number;
  /** Of these, responses before the kill. */
  readonly acknowledgedBeforeKill: number;
  /** AuditEvents in the store about requests of this load, with or without a response. */
  readonly auditEvents: number;
  /** Acknowledged reads that have no AuditEvent. */
  readonly unauditedReads: number;
  /** Notifications due: pairs of an AuditEvent and an authority with a plan on the child. */
  readonly owed: number;
  /** Of these, notifications that arrived. */
  readonly delivered: number;
  /** Of these, notifications that arrived more than once. */
  readonly repeated: number;
  /** Notifications that reached an authority without a plan on the child. */
  readonly strays: number;
  /** Undelivered notifications in the metrics of the server. */
  readonly undelivered: number;
}

/** Returns the AuditEvents about the requests, read as each authority. */
async function findEvents({ world }: Stage, sinceMs: number, sent: LoadCounts['sent']): Promise<AuditEvent[]> {
  const query = `date=ge${new Date(sinceMs).toISOString()}&subtype=search-type&_count=250`;
  const found = new Map<string, AuditEvent>();
  for (const { client } of world.authorities) {
    for (const event of await searchAllEvents(client, world.baseUrl, query)) {
      if (sent.has(requestIdOf(event) ?? '')) found.set(event.id ?? '', event);
    }
  }
  return [...found.values()];
}

/** Reads the number of pending and leased deliveries from the metrics. */
async function countUndelivered({ world }: Stage): Promise<number> {
  const authorization = `Bearer ${await world.operator.token()}`;
  const response = await fetch(`${world.origin}/metrics`, { headers: { authorization } });
  const text = await response.text();
  let count = 0;
  for (const match of text.matchAll(/^cpis_deliveries\{[^}]*state="(?:pending|leased)"\} (\d+)$/gm))
    count += Number(match[1]);
  return response.ok ? count : Number.NaN;
}

async function runLoad(
  { world, screen }: Stage,
  nhsNumbers: readonly string[],
): Promise<LoadCounts & { readonly beforeKill: number }> {
  const clients = world.careProviders.map(({ client }) => client);
  const load = startLoad(clients, concurrency, nhsNumbers);
  let beforeKill = 0;
  try {
    await sleep(beforeKillMs);
    await world.server.kill();
    beforeKill = load.acknowledged;
    screen.line(`kill -9 after ${beforeKill} responses`);
    const downMs = performance.now();
    await world.server.start();
    screen.line(`restarted on the same folder, ready after ${Math.round(performance.now() - downMs)} ms`);
    await sleep(afterRestartMs);
  } finally {
    await load.stop();
  }
  return { ...(await load.stop()), beforeKill };
}

/** Kills and restarts the server under load, then compares reads, AuditEvents and notifications. */
export async function crash(stage: Stage, children: DemoChildren): Promise<CrashCounts> {
  const { world, screen, check } = stage;
  const withPlans = [...new Set(children.records.flat().map((plan) => plan.nhsNumber))];
  screen.note(`${concurrency} clients look up ${withPlans.length} children in turn`);
  const sinceMs = Date.now();
  const { sent, refused, beforeKill } = await runLoad(stage, withPlans);
  const loadEndMs = performance.now();
  const events = await findEvents(stage, sinceMs, sent);
  const owed = events.flatMap((event) => custodiansOf(event).map((owner) => ({ id: event.id ?? '', owner })));
  const receivers = new Map(world.authorities.map(({ id, receiver }) => [id, receiver]));
  const hasArrived = ({ id, owner }: { id: string; owner: string }): boolean =>
    receivers.get(owner)?.arrivals.has(id) === true;
  await waitFor(async () => owed.every(hasArrived) && (await countUndelivered(stage)) === 0, backlogLimitMs);
  const backlogMs = performance.now() - loadEndMs;

  const audited = new Set(events.map(requestIdOf));
  const repeated = new Map(world.authorities.map(({ id, receiver }) => [id, receiver.findRepeated()]));
  const acknowledged = [...sent].filter(([, isAcknowledged]) => isAcknowledged).map(([requestId]) => requestId);
  const counts: CrashCounts = {
    acknowledgedReads: acknowledged.length,
    acknowledgedBeforeKill: beforeKill,
    auditEvents: events.length,
    unauditedReads: acknowledged.filter((requestId) => !audited.has(requestId)).length,
    owed: owed.length,
    delivered: owed.filter(hasArrived).length,
    repeated: owed.filter(({ id, owner }) => repeated.get(owner)?.has(id) === true).length,
    strays: countStrayArrivals(world),
    undelivered: await countUndelivered(stage),
  };
  const cut = sent.size - counts.acknowledgedReads - refused;
  screen.table([
    ['requests sent', String(sent.size), `${cut} without a complete response, because of the kill`],
    ['reads acknowledged', String(counts.acknowledgedReads), `${refused} with a status other than 200`],
    [
      'AuditEvents in the store',
      String(counts.auditEvents),
      `${counts.auditEvents - counts.acknowledgedReads} more than acknowledged: responses cut off by the kill`,
    ],
    ['acknowledged but not audited', String(counts.unauditedReads), ''],
    ['notifications due', String(counts.owed), 'one for each authority with a plan on the child'],
    ['notifications arrived', String(counts.delivered), `${counts.repeated} of them sent twice, with the same id`],
    [
      'undelivered in the metrics',
      String(counts.undelivered),
      `backlog empty ${Math.round(backlogMs)} ms after the last response`,
    ],
  ]);
  const afterKill = acknowledged.length - beforeKill;
  check('reads were acknowledged before and after the kill', beforeKill > 0 && afterKill > 0 && refused === 0);
  check('every acknowledged read has its AuditEvent', counts.unauditedReads === 0 && counts.auditEvents > 0);
  check('every AuditEvent reached every authority with a plan on the child', counts.delivered === counts.owed);
  check('no notification is undelivered', counts.undelivered === 0);
  check('no AuditEvent reached an authority without a plan on the child', counts.strays === 0);
  return counts;
}
