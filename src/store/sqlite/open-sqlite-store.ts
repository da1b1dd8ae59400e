/**
 * The embedded store: one SQLite file, written by one thread; read on the main thread, and by another thread where that may
 * take long.
 */
import { randomUUID } from 'node:crypto';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { getHeapStatistics } from 'node:v8';
import { FhirFault } from '../../fhir/fault.ts';
import type { SearchPlan } from '../../fhir/search/ast.ts';
import type { ClaimedDelivery, DeliveryQueue, SearchResult, Store } from '../store.ts';
import { storeUnavailable } from '../store-unavailable.ts';
import { openIndexBarrier } from './audit-index/index-barrier.ts';
import { openConnection } from './connection/connection.ts';
import { lockFolder } from './connection/folder-lock.ts';
import { sqliteFailure } from './connection/sqlite-failure.ts';
import { openStatements, type Statements } from './connection/statements.ts';
import { readBreaches } from './delivery/delivery-breach.ts';
import { readBacklog, readOwed } from './delivery/read-backlog.ts';
import { readAcknowledged, readEvents, readLastNumber } from './delivery/subscription-events.ts';
import { openTextEncoder, type TextRow } from './encoding/audit-text.ts';
import { openTexts } from './encoding/read-text.ts';
import { readResource, readResourceVersion } from './read/read-resource.ts';
import { readsFew } from './search/compile-search.ts';
import { openPatientRecords } from './search/patient-records.ts';
import { readPatientRecords } from './search/read-patient-records.ts';
import { runHistory } from './search/run-history.ts';
import { runSearch } from './search/run-search.ts';
import { openSearchThread, type SearchThread } from './search/search-thread.ts';
import { encodeUnit } from './write/encode-unit.ts';
import { isIndexProgress, type WriteOp } from './write/write-op.ts';
import { openWriter, type Writer } from './write/writer.ts';

export interface SqliteStoreOptions {
  /** Data folder; made if it is not there. One process at a time uses it. */
  readonly folder: string;
  /** Called once, when an I/O error or a damaged file ends the store: the process must end, and only then start anew. */
  readonly onFatal: (error: Error) => void;
  /** Upper bound of the database file in pages of 4 KiB; commits beyond it fail as on a full disk. */
  readonly maxPages?: number;
  /** Called for each transaction that ended, each with an fsync of its own, with the number of operations in it. */
  readonly onBatch?: (operations: number) => void;
}

/** The part of the heap that records of patients may take: all plans of England under Node's own limit on 8 GB. */
const keptRecordsShare = 8;

/** Throws when the folder is in use, the database is of a newer schema, or SQLite would not be durable. */
export async function openSqliteStore({ folder, onFatal, maxPages, onBatch }: SqliteStoreOptions): Promise<Store> {
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const unlock = lockFolder(folder);
  try {
    const file = join(folder, 'store.sqlite');
    let ready = true;
    const lose = (error: Error): void => {
      if (!ready) return;
      ready = false;
      onFatal(error);
    };
    const thread = await openWriter(
      { file, use: 'write', ...(maxPages === undefined ? {} : { maxPages }) },
      lose,
      onBatch,
    );
    const writer: Writer = {
      ...thread,
      submit: (op) => (ready ? thread.submit(op) : Promise.reject(storeUnavailable('store-lost'))),
    };
    const { statements, searches } = await openReaders(file, thread, lose);
    const textOf = openTexts(statements);
    const encoder = openTextEncoder();
    const read = reader(statements, () => ready, lose);
    const index = openIndexBarrier(async (upTo) => {
      const progress = await writer.submit(['index', upTo]);
      if (!isIndexProgress(progress)) throw unexpectedAnswer();
      return progress;
    });
    const queue = deferWork(() => writer.submit(['queue']));
    const patients = openPatientRecords(
      (of) => readPatientRecords(statements, of),
      getHeapStatistics().heap_size_limit / keptRecordsShare,
    );
    const search = (plan: SearchPlan): Promise<SearchResult> => {
      if (readsFew(plan)) return read(() => patients.search(plan) ?? runSearch(statements, textOf, plan));
      return ready ? searches.search(plan) : Promise.reject(storeUnavailable('store-closed'));
    };
    return {
      commit: async (unit) => {
        let brought: readonly TextRow[] = [];
        const encode = (): WriteOp => {
          const { op, texts } = encodeUnit(unit, encoder);
          brought = texts;
          return op;
        };
        const written = unit.writes.length > 0 || unit.guards.length > 0 ? patients.begin(unit) : undefined;
        let result: Awaited<ReturnType<typeof writer.submit>> | undefined;
        try {
          result = await writer.submit(encode);
        } finally {
          written?.(result === true);
        }
        if (result === true) {
          if (brought.length > 0) encoder.confirm(brought);
          if (unit.audits.length > 0) index.markPending();
          if (unit.audits.some(({ deliverTo }) => deliverTo.length > 0)) queue.markPending();
          return { kind: 'committed' };
        }
        if (typeof result === 'object' && 'reason' in result) return result;
        throw unexpectedAnswer();
      },
      read: (type, id) => read(() => readResource(statements, textOf, type, id)),
      readVersion: (type, id, version) => read(() => readResourceVersion(statements, textOf, type, id, version)),
      search: (plan) => (plan.type === 'AuditEvent' ? index.flush().then(() => search(plan)) : search(plan)),
      history: (plan) => {
        if (plan.id !== undefined && !plan.total) return read(() => runHistory(statements, plan));
        return ready ? searches.history(plan) : Promise.reject(storeUnavailable('store-closed'));
      },
      useOnce: (key, expiresAtMs, nowMs) => submitFlag(writer, ['once', key, expiresAtMs, nowMs]),
      deliveries: deliveryQueue(
        writer,
        async () => {
          await queue.flush();
          return read(() => readBacklog(statements));
        },
        async (authority, limit, after) => {
          await queue.flush();
          return read(() => readOwed(statements, authority, limit, after));
        },
        (limit, authority) => read(() => readBreaches(statements, limit, authority)),
      ),
      subscriptionEvents: {
        append: async (subscriptionId, auditIds) => {
          const numbers = await writer.submit(['number', subscriptionId, auditIds]);
          if (!Array.isArray(numbers)) throw unexpectedAnswer();
          return numbers as readonly number[];
        },
        last: (subscriptionId) => read(() => readLastNumber(statements, subscriptionId)),
        range: (subscriptionId, since, until, limit) =>
          read(() => readEvents(statements, subscriptionId, since, until, limit)),
        acknowledge: async (subscriptionId, through) => {
          await writer.submit(['acknowledge', subscriptionId, through]);
        },
        acknowledged: (subscriptionId) => read(() => readAcknowledged(statements, subscriptionId)),
      },
      get ready() {
        return ready;
      },
      close: async () => {
        if (statements.db.isOpen) statements.db.close();
        await Promise.all([writer.close(), searches.close()]);
        unlock();
      },
    };
  } catch (error) {
    unlock();
    throw error;
  }
}

/** What is written for many AuditEvents at once, some time after them. */
interface DeferredWork {
  /** An AuditEvent has been committed for which there is something to do. */
  markPending(): void;
  /** Resolves when it is done for every AuditEvent that was committed before. */
  flush(): Promise<void>;
}

function deferWork(work: () => Promise<unknown>): DeferredWork {
  // What the last process left undone may have failed at the start too.
  let isPending = true;
  let working: Promise<unknown> = Promise.resolve();
  return {
    markPending() {
      isPending = true;
    },
    async flush() {
      if (isPending) {
        isPending = false;
        working = work().catch((error: unknown) => {
          isPending = true;
          throw error;
        });
      }
      await working;
    },
  };
}

async function openReaders(
  file: string,
  thread: Writer,
  lose: (error: Error) => void,
): Promise<{ readonly statements: Statements; readonly searches: SearchThread }> {
  try {
    const statements = openStatements(openConnection({ file, use: 'read' }));
    const searches = await openSearchThread(file, lose).catch((error: unknown) => {
      statements.db.close();
      throw error;
    });
    return { statements, searches };
  } catch (error) {
    await thread.close();
    throw error;
  }
}

type Read = <T>(query: () => T) => Promise<T>;

function reader(statements: Statements, isReady: () => boolean, lose: (error: Error) => void): Read {
  return async (query) => {
    if (!isReady() || !statements.db.isOpen) throw storeUnavailable('store-closed');
    try {
      return query();
    } catch (error) {
      if (error instanceof FhirFault) throw error;
      const failure = sqliteFailure(error);
      if (failure === 'rejected') throw error;
      if (failure === 'lost') lose(new Error('The store was lost: reading failed.', { cause: error }));
      throw storeUnavailable(`sqlite-${failure}`);
    }
  };
}

function deliveryQueue(
  writer: Writer,
  backlog: DeliveryQueue['backlog'],
  owed: DeliveryQueue['owed'],
  breaches: DeliveryQueue['breaches'],
): DeliveryQueue {
  return {
    claim: async (authority, limit, nowMs, leaseUntilMs) => {
      const claimed = await writer.submit(['claim', authority, limit, nowMs, leaseUntilMs, randomUUID()]);
      if (!Array.isArray(claimed)) throw unexpectedAnswer();
      return claimed as readonly ClaimedDelivery[];
    },
    settle: ({ authority, auditId, leaseToken }, settlement) =>
      submitFlag(writer, ['settle', authority, auditId, leaseToken, settlement]),
    extend: ({ authority, auditId, leaseToken }, leaseUntilMs) =>
      submitFlag(writer, ['extend', authority, auditId, leaseToken, leaseUntilMs]),
    backlog,
    owed,
    requeue: async (authority, nowMs, of, limit) => {
      const made = await writer.submit(['requeue', authority, nowMs, of, limit]);
      if (typeof made !== 'number') throw unexpectedAnswer();
      return made;
    },
    recordBreach: (breach) => submitFlag(writer, ['breach', breach]),
    breaches,
  };
}

async function submitFlag(writer: Writer, op: Parameters<Writer['submit']>[0]): Promise<boolean> {
  const result = await writer.submit(op);
  if (typeof result !== 'boolean') throw unexpectedAnswer();
  return result;
}

function unexpectedAnswer(): Error {
  return new Error('The writer thread gave an answer of another kind.');
}
