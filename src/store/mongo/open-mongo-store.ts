/** The store for production and for several servers: one document for each resource and each AuditEvent. */
import { randomUUID } from 'node:crypto';
import { v7 } from 'uuid';
import type { AuditWrite, CommitResult, DeliveryQueue, Settlement, Store, WriteUnit } from '../store.ts';
import { storeUnavailable } from '../store-unavailable.ts';
import { deadlineOf, type MongoConnectionOptions, openConnection } from './connection/connection.ts';
import { explainStart } from './connection/explain-start.ts';
import { asFault, withFaults, withinLimit } from './connection/mongo-failure.ts';
import { openSchema } from './connection/schema.ts';
import { openServerClock, type ServerClock } from './connection/server-clock.ts';
import { applyClaim, applyExtend, applySettle } from './delivery/apply-delivery.ts';
import { applyHandOver } from './delivery/apply-hand-over.ts';
import { applyRequeue } from './delivery/apply-requeue.ts';
import { applyBreach, readBreaches } from './delivery/delivery-breach.ts';
import { type DeliveryCounts, openDeliveryCounts } from './delivery/delivery-counts.ts';
import { watchDeliveries } from './delivery/delivery-watch.ts';
import { readBacklog, readOwed } from './delivery/read-backlog.ts';
import { type DeliveryRecount, openDeliveryRecount } from './delivery/recount-deliveries.ts';
import { openSubscriptionEvents } from './delivery/subscription-events.ts';
import { type Collections, openCollections } from './encoding/documents.ts';
import { encodeAudit } from './encoding/encode-unit.ts';
import { listLabels } from './read/list-labels.ts';
import { readResource } from './read/read-resource.ts';
import { readResourceVersion } from './read/read-version.ts';
import { watchResources } from './read/resource-watch.ts';
import { runHistory } from './search/run-history.ts';
import { runSearch } from './search/run-search.ts';
import { openAuditWriter } from './write/audit-writer.ts';
import { commitUnit } from './write/commit-unit.ts';
import { openUseOnce } from './write/use-once.ts';

export interface MongoStoreOptions extends MongoConnectionOptions {
  /** Called when background work failed. It goes on. */
  readonly onError: (error: unknown) => void;
  /** Called with the number of AuditEvents of each group that went to the database together. */
  readonly onBatch?: (audits: number) => void;
}

/** Opens the store. Throws StoreStartError if the database cannot be reached or used: standalone, or of another schema. */
export async function openMongoStore(options: MongoStoreOptions): Promise<Store> {
  const { timeoutMs: timeLimitMs, onBatch } = options;
  const deadlineMs = deadlineOf(options);
  // A message of the driver may contain keys, and so NHS numbers.
  const onError = (error: unknown) => options.onError(asFault(error));
  const connection = await openConnection(options);
  const { client } = connection;
  try {
    const db = client.db();
    const collections = openCollections(db);
    await openSchema(collections);
    const clock = await openServerClock(db, Date.now);
    const nowMs = () => clock.toServer(Date.now());
    const counts = openDeliveryCounts(collections);
    const recount = openDeliveryRecount({ collections, nowMs, timeLimitMs, onError });
    const audits = openAuditWriter({
      collections,
      timeLimitMs,
      deadlineMs,
      ...(onBatch === undefined ? {} : { onBatch }),
    });
    // Without options, these ids also grow within one millisecond.
    const encode = (audit: AuditWrite) => encodeAudit(audit, v7(), clock.toServer(audit.recordedMs));
    const stops = new Set<() => Promise<void>>();
    const untilClosed = (stop: () => Promise<void>) => {
      stops.add(stop);
      return () => {
        stops.delete(stop);
        return stop();
      };
    };
    let closed = false;
    // Each operation has its own limits and retries. This limit ends one that hangs all the same.
    const answerWithinMs = deadlineMs + timeLimitMs;

    const unitOptions = { client, collections, timeLimitMs, deadlineMs, encodeAudit: encode };
    const whileOpen = <T>(operation: () => Promise<T>): Promise<T> =>
      closed
        ? Promise.reject(storeUnavailable('store-closed'))
        : withFaults(() => withinLimit(operation(), answerWithinMs));

    return {
      commit: (unit) =>
        whileOpen(async () => {
          const insertAudit = (audit: AuditWrite) => audits.insert(encode(audit));
          const result = await commit(unit, insertAudit, () => commitUnit(unitOptions, unit));
          if (result.kind === 'committed') counts.addCommitted(unit.audits);
          return result;
        }),
      read: (type, id) => whileOpen(() => readResource(collections, type, id)),
      readVersion: (type, id, version) => whileOpen(() => readResourceVersion(collections, type, id, version)),
      search: (plan) => whileOpen(() => runSearch(collections, plan, timeLimitMs)),
      history: (plan) => whileOpen(() => runHistory(collections, plan, timeLimitMs)),
      listLabels: (type, prefix) => whileOpen(() => listLabels(collections, type, prefix, timeLimitMs)),
      useOnce: (
        (use) => (key, expiresAtMs, atMs) =>
          whileOpen(() => use(key, expiresAtMs, atMs))
      )(openUseOnce(collections, randomUUID)),
      deliveries: openDeliveries(collections, counts, recount, clock, timeLimitMs, whileOpen, (wake) => {
        return untilClosed(watchDeliveries({ collections, nowMs, timeLimitMs, onError }, wake));
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
        clock.stop();
        await Promise.all([...stops].map((stop) => stop()));
        await audits.settled();
        await recount.stop();
        await counts.flush().catch(onError);
        await connection.close();
      },
    };
  } catch (error) {
    await connection.close();
    throw explainStart(error, deadlineMs);
  }
}

/** Groups a single AuditEvent with others that wait. A unit over several documents is committed on its own. */
async function commit(
  unit: WriteUnit,
  insertAudit: (audit: AuditWrite) => Promise<boolean>,
  commitTogether: () => Promise<CommitResult>,
): Promise<CommitResult> {
  if (unit.writes.some(({ type }) => type === 'AuditEvent')) {
    throw new TypeError('An AuditEvent is written as an audit, not as a resource.');
  }
  const [audit, ...others] = unit.audits;
  if (unit.writes.length > 0 || unit.guards.length > 0 || others.length > 0) return commitTogether();
  if (audit === undefined) return { kind: 'committed' };
  const { id } = audit;
  if (await insertAudit(audit)) return { kind: 'committed' };
  return { kind: 'refused', reason: 'duplicate-key', type: 'AuditEvent', id, existingId: id };
}

function openDeliveries(
  collections: Collections,
  counts: DeliveryCounts,
  recount: DeliveryRecount,
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
        const { backlog, seen } = await readBacklog(collections, clock, timeLimitMs);
        recount.correct(seen);
        return backlog;
      }),
    requeue: (authority, nowMs, of, limit) =>
      whileOpen(() => applyRequeue(collections, counts, authority, toServer(nowMs), of, limit)),
    handOver: (from, to, auditIds, nowMs) =>
      whileOpen(() => applyHandOver(collections, counts, from, to, auditIds, toServer(nowMs))),
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
