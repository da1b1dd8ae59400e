import { performance } from 'node:perf_hooks';
import { setTimeout as sleep } from 'node:timers/promises';
import type { AuditEvent } from 'fhir/r4.js';
import { custodiansOf, requestIdOf, searchAllEvents } from '../../../synthetic/audit-facts.ts';
import { waitFor } from '../../../synthetic/wait-for.ts';
import type { DemoChildren } from '../demo-children.ts';
import { type LoadCounts, startLoad } from '../load.ts';
import type { Stage } from '../stage.ts';
import { countStrayArrivals } from './notifications.ts';

const concurrency = 16;
const beforeKillMs = 1_200;
const afterRestartMs = 1_200;
const backlogLimitMs = 20_000;

/** The figures of the comparison. */
export interface CrashCounts {
  /** Answers received whole. */
  readonly acknowledgedReads: number;
  /** Those of them from before the kill. */
  readonly acknowledgedBeforeKill: number;
  /** AuditEvents found in the store of requests of this load, answered or not. */
  readonly auditEvents: number;
  /** Acknowledged reads without an AuditEvent. */
  readonly unauditedReads: number;
  /** Pairs of an AuditEvent and an authority that owns a plan on the child. */
  readonly owed: number;
  /** Of these, those that arrived. */
  readonly delivered: number;
  /** Sent more than once. */
  readonly repeated: number;
  /** Arrived at an authority that owns no plan on the child. */
  readonly strays: number;
  /** What the server itself still counts as undelivered. */
  readonly undelivered: number;
}

/** All of them, from each authority's own view of the store, by id. */
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

/** Deliveries that are pending or leased, as the operator's metrics count them. */
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
    screen.line(`kill -9 after ${beforeKill} answers`);
    const downMs = performance.now();
    await world.server.start();
    screen.line(`started again on the same folder, ready after ${Math.round(performance.now() - downMs)} ms`);
    await sleep(afterRestartMs);
  } finally {
    await load.stop();
  }
  return { ...(await load.stop()), beforeKill };
}

/** Clients look children up while the server is killed and started again; then reads, events and arrivals are compared. */
export async function crash(stage: Stage, children: DemoChildren): Promise<CrashCounts> {
  const { world, screen, check } = stage;
  const withPlans = [...new Set(children.records.flat().map((plan) => plan.nhsNumber))];
  screen.note(`${concurrency} clients look up ${withPlans.length} children, one after another`);
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
    ['requests sent', String(sent.size), `${cut} met a dead or dying server`],
    ['reads acknowledged', String(counts.acknowledgedReads), `${refused} answered otherwise than 200`],
    [
      'AuditEvents in the store',
      String(counts.auditEvents),
      `${counts.auditEvents - counts.acknowledgedReads} beyond these: answers that the kill cut off`,
    ],
    ['acknowledged, not audited', String(counts.unauditedReads), ''],
    ['notifications owed', String(counts.owed), 'one for each authority with a plan on the child'],
    ['notifications arrived', String(counts.delivered), `${counts.repeated} of them sent twice, same id`],
    [
      'still owed, says the server',
      String(counts.undelivered),
      `backlog gone ${Math.round(backlogMs)} ms after the last answer`,
    ],
  ]);
  const afterKill = acknowledged.length - beforeKill;
  check('reads were acknowledged before and after the kill', beforeKill > 0 && afterKill > 0 && refused === 0);
  check('every acknowledged read has its AuditEvent', counts.unauditedReads === 0 && counts.auditEvents > 0);
  check('every AuditEvent reached every authority with a plan on the child', counts.delivered === counts.owed);
  check('nothing is owed any more', counts.undelivered === 0);
  check('no AuditEvent reached an authority without one', counts.strays === 0);
  return counts;
}
