/** The embedded store: one SQLite file. One thread writes it; the main thread and a reader thread read it. */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { getHeapStatistics } from 'node:v8';
import type { SearchPlan } from '../../fhir/search/ast.ts';
import type { SearchResult, Store } from '../store.ts';
import { storeUnavailable } from '../store-unavailable.ts';
import type { CommitResult, WriteUnit } from '../write-unit.ts';
import { openIndexBarrier } from './audit-index/index-barrier.ts';
import { buildDeliveryQueue } from './build-delivery-queue.ts';
import { buildSubscriptionEvents } from './build-subscription-events.ts';
import { openConnection } from './connection/connection.ts';
import { lockFolder } from './connection/folder-lock.ts';
import { startFailure } from './connection/start-failure.ts';
import { openStatements, type Statements } from './connection/statements.ts';
import { openTextEncoder, type TextRow } from './encoding/audit-text.ts';
import { openTexts } from './encoding/read-text.ts';
import { guardReads } from './read/guard-reads.ts';
import { listLabels } from './read/list-labels.ts';
import { readResource, readResourceVersion } from './read/read-resource.ts';
import { readsFew } from './search/compile-search.ts';
import { openPatientRecords } from './search/patient-records.ts';
import { readPatientRecords } from './search/read-patient-records.ts';
import { runHistory } from './search/run-history.ts';
import { runSearch } from './search/run-search.ts';
import { openSearchThread, type SearchThread } from './search/search-thread.ts';
import { encodeUnit } from './write/encode-unit.ts';
import { deferWork } from './writer/deferred-work.ts';
import { watchDiskRoom } from './writer/disk-room.ts';
import { submitFlag, unexpectedResult } from './writer/submit.ts';
import { isIndexProgress, type WriteOp } from './writer/write-op.ts';
import { openWriter, type Writer } from './writer/writer.ts';

export interface SqliteStoreOptions {
  /** Data folder; created if it does not exist. One process at a time uses it. */
  readonly folder: string;
  /** Called once, when an I/O error or a damaged file ends the store. The process must then end before it opens it again. */
  readonly onFatal: (error: Error) => void;
  /** Maximum size of the database file in pages of 4 KiB. Commits beyond it fail as on a full disk. */
  readonly maxPages?: number;
  /** Called after each transaction, which is one fsync, with the number of operations in it. */
  readonly onBatch?: (operations: number) => void;
  /** Called with false when the disk is full: the store is not ready until it is called with true. */
  readonly onRoom?: (isThere: boolean) => void;
}

/** Divides the heap: the records of patients may take one part. All plans of England fit under Node's own limit on 8 GB. */
const keptRecordsShare = 8;

/** Throws if the folder is in use, the database has a newer schema, or SQLite would not be durable. */
export async function openSqliteStore(options: SqliteStoreOptions): Promise<Store> {
  const { folder, onFatal, maxPages, onBatch, onRoom = () => undefined } = options;
  let unlock = (): void => undefined;
  try {
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    unlock = lockFolder(folder);
    const file = join(folder, 'store.sqlite');
    let ready = true;
    const lose = (error: Error): void => {
      if (!ready) return;
      ready = false;
      onFatal(error);
    };
    const thread = await openWriter(
      { file, use: 'write', ...(maxPages === undefined ? {} : { maxPages }) },
      { onLost: lose, onBatch, onFull: () => room.markFull() },
    );
    const room = watchDiskRoom(() => {
      const nowMs = Date.now();
      return thread.submit(['once', `disk-room:${nowMs}`, nowMs, nowMs]);
    }, onRoom);
    const writer: Writer = {
      ...thread,
      submit: (op) => (ready ? thread.submit(op) : Promise.reject(storeUnavailable('store-lost'))),
    };
    const { statements, searches } = await openReaders(file, thread, lose);
    const textOf = openTexts(statements);
    const encoder = openTextEncoder();
    const read = guardReads(statements, () => ready, lose);
    const index = openIndexBarrier(async (upTo) => {
      const progress = await writer.submit(['index', upTo]);
      if (!isIndexProgress(progress)) throw unexpectedResult();
      return progress;
    });
    const queueing = deferWork(() => writer.submit(['queue']));
    const patients = openPatientRecords(
      (of) => readPatientRecords(statements, of),
      getHeapStatistics().heap_size_limit / keptRecordsShare,
    );

    const commit = async (unit: WriteUnit): Promise<CommitResult> => {
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
        room.markRoom();
        if (brought.length > 0) encoder.confirm(brought);
        if (unit.audits.length > 0) index.markPending();
        if (unit.audits.some(({ deliverTo }) => deliverTo.length > 0)) queueing.markPending();
        return { kind: 'committed' };
      }
      if (typeof result === 'object' && 'reason' in result) return result;
      throw unexpectedResult();
    };

    const search = (plan: SearchPlan): Promise<SearchResult> => {
      if (readsFew(plan)) return read(() => patients.search(plan) ?? runSearch(statements, textOf, plan));
      return ready ? searches.search(plan) : Promise.reject(storeUnavailable('store-closed'));
    };

    return {
      commit,
      read: (type, id) => read(() => readResource(statements, textOf, type, id)),
      readVersion: (type, id, version) => read(() => readResourceVersion(statements, textOf, type, id, version)),
      search: (plan) => (plan.type === 'AuditEvent' ? index.flush().then(() => search(plan)) : search(plan)),
      history: (plan) => {
        if (plan.id !== undefined && !plan.total) return read(() => runHistory(statements, plan));
        return ready ? searches.history(plan) : Promise.reject(storeUnavailable('store-closed'));
      },
      listLabels: (type, prefix) => read(() => listLabels(statements, type, prefix)),
      useOnce: (key, expiresAtMs, nowMs) => submitFlag(writer, ['once', key, expiresAtMs, nowMs]),
      deliveries: buildDeliveryQueue(writer, statements, read, queueing),
      subscriptionEvents: buildSubscriptionEvents(writer, statements, read),
      get ready() {
        return ready && room.isThere;
      },
      close: async () => {
        room.close();
        if (statements.db.isOpen) statements.db.close();
        await Promise.all([writer.close(), searches.close()]);
        unlock();
      },
    };
  } catch (error) {
    unlock();
    throw startFailure(error, folder);
  }
}

/** Opens the connection of the main thread and the reader thread. Closes the writer thread if one of them fails. */
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
