/** The store for production and for more than one server: MongoDB, one document for each resource and each AuditEvent. */
import { randomUUID } from 'node:crypto';
import { v7 } from 'uuid';
import type { AuditWrite, CommitResult, DeliveryQueue, Settlement, Store, WriteUnit } from '../store.ts';
import { storeUnavailable } from '../store-unavailable.ts';
import { explainStart, type MongoConnectionOptions, openConnection } from './connection/connection.ts';
import { asFault, withFaults, withinLimit } from './connection/mongo-failure.ts';
import { openSchema } from './connection/schema.ts';
import { openServerClock, type ServerClock } from './connection/server-clock.ts';
import { applyClaim, applyExtend, applySettle } from './delivery/apply-delivery.ts';
import { applyRequeue } from './delivery/apply-requeue.ts';
import { applyBreach, readBreaches } from './delivery/delivery-breach.ts';
import { type DeliveryCounts, openDeliveryCounts } from './delivery/delivery-counts.ts';
import { watchDeliveries } from './delivery/delivery-watch.ts';
import { readBacklog, readOwed } from './delivery/read-backlog.ts';
import { openSubscriptionEvents } from './delivery/subscription-events.ts';
import { type Collections, openCollections } from './encoding/documents.ts';
import { readResource, readResourceVersion } from './read/read-resource.ts';
import { watchResources } from './read/resource-watch.ts';
import { runHistory } from './search/run-history.ts';
import { runSearch } from './search/run-search.ts';
import { openAuditWriter } from './write/audit-writer.ts';
import { defaultVersionLimits, type VersionLimits } from './write/check-unit.ts';
import { adoptAbandoned, commitWithoutTransaction } from './write/commit-standalone.ts';
import { commitInTransaction } from './write/commit-unit.ts';
import { encodeAudit } from './write/encode-unit.ts';
import { openUseOnce } from './write/use-once.ts';

export interface MongoStoreOptions extends MongoConnectionOptions {
  /** Background work failed and goes on; a unit that could not be undone on a standalone server. */
  readonly onError: (error: unknown) => void;
  /** Called for each group of AuditEvents that went to the database together, with their number. */
  readonly onBatch?: (audits: number) => void;
  readonly versionLimits?: VersionLimits;
}

export interface MongoStore extends Store {
  /** `standalone`: without transactions, which the log and /health have to say. */
  readonly deployment: 'replicated' | 'standalone';
}

const adoptIntervalMs = 30_000;

/** Throws StoreStartError when the database cannot be used as it is: out of reach, standalone, of a newer schema. */
export async function openMongoStore(options: MongoStoreOptions): Promise<MongoStore> {
  const { timeoutMs: timeLimitMs, onBatch, versionLimits = defaultVersionLimits } = options;
  // What the driver says may name keys, and so people.
  const onError = (error: unknown) => options.onError(asFault(error));
  const connection = await openConnection(options);
  const { client, hasTransactions } = connection;
  try {
    const db = client.db();
    const collections = openCollections(db);
    await openSchema(collections);
    const clock = await openServerClock(db, Date.now);
    const nowMs = () => clock.toServer(Date.now());
    const counts = openDeliveryCounts(collections);
    const audits = openAuditWriter({ collections, timeLimitMs, ...(onBatch === undefined ? {} : { onBatch }) });
    // Without options, its ids grow within one millisecond, too.
    const encode = (audit: AuditWrite) => encodeAudit(audit, v7(), clock.toServer(audit.recordedMs));
    const stopAdopting = hasTransactions ? () => Promise.resolve() : keepAdopting(collections, nowMs, onError);
    const stops = new Set<() => Promise<void>>();
    const untilClosed = (stop: () => Promise<void>) => {
      stops.add(stop);
      return () => {
        stops.delete(stop);
        return stop();
      };
    };
    let closed = false;
    // Each operation has limits of its own, and is tried again; this is for one that hangs all the same.
    const answerWithinMs = 5 * timeLimitMs;

    const commitUnit = (unit: WriteUnit): Promise<CommitResult> => {
      const unitOptions = { client, collections, versionLimits, timeLimitMs, encodeAudit: encode };
      return hasTransactions
        ? commitInTransaction(unitOptions, unit)
        : commitWithoutTransaction({ ...unitOptions, newToken: randomUUID, nowMs, onNotUndone: onError }, unit);
    };
    const whileOpen = <T>(operation: () => Promise<T>): Promise<T> =>
      closed
        ? Promise.reject(storeUnavailable('store-closed'))
        : withFaults(() => withinLimit(operation(), answerWithinMs));

    return {
      deployment: hasTransactions ? 'replicated' : 'standalone',
      commit: (unit) => whileOpen(() => commit(unit, (audit) => audits.insert(encode(audit)), commitUnit)),
      read: (type, id) => whileOpen(() => readResource(collections, type, id)),
      readVersion: (type, id, version) => whileOpen(() => readResourceVersion(collections, type, id, version)),
      search: (plan) => whileOpen(() => runSearch(collections, plan, timeLimitMs)),
      history: (plan) => whileOpen(() => runHistory(collections, plan, timeLimitMs)),
      useOnce: (
        (use) => (key, expiresAtMs, atMs) =>
          whileOpen(() => use(key, expiresAtMs, atMs))
      )(openUseOnce(collections, randomUUID)),
      deliveries: openDeliveries(collections, counts, clock, timeLimitMs, whileOpen, (wake) => {
        const hasChangeStreams = hasTransactions;
        return untilClosed(watchDeliveries({ collections, hasChangeStreams, nowMs, timeLimitMs, onError }, wake));
      }),
      watchResources: (type, changed) =>
        whileOpen(async () => untilClosed(await watchResources({ collections, timeLimitMs, onError }, type, changed))),
      subscriptionEvents: openSubscriptionEvents(collections, timeLimitMs),
      get ready() {
        return !closed && connection.isWritable();
      },
      close: async () => {
        if (closed) return;
        closed = true;
        await stopAdopting();
        clock.stop();
        await Promise.all([...stops].map((stop) => stop()));
        await audits.settled();
        await counts.flush().catch(onError);
        await connection.close();
      },
    };
  } catch (error) {
    await connection.close();
    throw explainStart(error, timeLimitMs);
  }
}

/** One AuditEvent alone goes with others that wait; what spans documents is a unit of its own. */
async function commit(
  unit: WriteUnit,
  insertAudit: (audit: AuditWrite) => Promise<boolean>,
  commitUnit: (unit: WriteUnit) => Promise<CommitResult>,
): Promise<CommitResult> {
  if (unit.writes.some(({ type }) => type === 'AuditEvent')) {
    throw new TypeError('An AuditEvent is written as an audit, not as a resource.');
  }
  const [audit, ...others] = unit.audits;
  if (unit.writes.length > 0 || unit.guards.length > 0 || others.length > 0) return commitUnit(unit);
  if (audit === undefined) return { kind: 'committed' };
  const { id } = audit;
  if (await insertAudit(audit)) return { kind: 'committed' };
  return { kind: 'refused', reason: 'duplicate-key', type: 'AuditEvent', id, existingId: id };
}

function openDeliveries(
  collections: Collections,
  counts: DeliveryCounts,
  clock: ServerClock,
  timeLimitMs: number,
  whileOpen: <T>(operation: () => Promise<T>) => Promise<T>,
  watch: NonNullable<DeliveryQueue['watch']>,
): DeliveryQueue {
  const { toServer } = clock;
  return {
    claim: (authority, limit, nowMs, leaseUntilMs) =>
      whileOpen(() => applyClaim(collections, authority, limit, toServer(nowMs), toServer(leaseUntilMs), randomUUID())),
    settle: (claimed, settlement) =>
      whileOpen(() => {
        return applySettle(collections, counts, claimed, byServerClock(settlement, toServer));
      }),
    extend: (claimed, leaseUntilMs) => whileOpen(() => applyExtend(collections, claimed, toServer(leaseUntilMs))),
    backlog: () =>
      whileOpen(async () => {
        await counts.flush();
        return readBacklog(collections, clock, timeLimitMs);
      }),
    requeue: (authority, nowMs, of, limit) =>
      whileOpen(() => applyRequeue(collections, counts, authority, toServer(nowMs), of, limit)),
    owed: (authority, limit, after) => whileOpen(() => readOwed(collections, authority, limit, after)),
    recordBreach: (breach) => whileOpen(() => applyBreach(collections, breach)),
    breaches: (limit, authority) => whileOpen(() => readBreaches(collections, limit, authority)),
    watch,
  };
}

function byServerClock(settlement: Settlement, toServer: (ms: number) => number): Settlement {
  switch (settlement.kind) {
    case 'failed':
      return { ...settlement, dueMs: toServer(settlement.dueMs) };
    case 'unmatched':
      return { ...settlement, atMs: toServer(settlement.atMs) };
    default:
      return settlement;
  }
}

/** Gives the way to stop. */
function keepAdopting(
  collections: Collections,
  nowMs: () => number,
  onError: (error: unknown) => void,
): () => Promise<unknown> {
  let adopting: Promise<unknown> = Promise.resolve();
  const adopt = (): void => {
    adopting = adopting.then(() => adoptAbandoned(collections, nowMs())).catch(onError);
  };
  adopt();
  const timer = setInterval(adopt, adoptIntervalMs).unref();
  return () => {
    clearInterval(timer);
    return adopting;
  };
}
