/**
 * Group commit: one transaction, and so one fsync, for all waiting operations. Operations check before they change anything,
 * so the first try needs no savepoints. If one throws, the batch is rolled back and applied again with a savepoint for each
 * operation, so that only the bad one fails.
 */
import type { DatabaseSync } from 'node:sqlite';
import { openAuditIndex } from '../audit-index/index-audits.ts';
import { readProgress } from '../audit-index/read-progress.ts';
import { type SqliteFailure, sqliteFailure } from '../connection/sqlite-failure.ts';
import { numberAt, openStatements, type Statements } from '../connection/statements.ts';
import { applyClaim, applyExtend, applySettle } from '../delivery/apply-delivery.ts';
import { applyHandOver } from '../delivery/apply-hand-over.ts';
import { applyRequeue } from '../delivery/apply-requeue.ts';
import { applyBreach } from '../delivery/delivery-breach.ts';
import { buildDeliveryCounts } from '../delivery/delivery-counts.ts';
import { queueDeliveries } from '../delivery/queue-deliveries.ts';
import { acknowledgeEvents, appendEvents } from '../delivery/subscription-events.ts';
import { openTexts } from '../encoding/read-text.ts';
import { type AuditSequence, applyUnit } from '../write/apply-unit.ts';
import type { OpFailure, OpResult, WriteOp } from './write-op.ts';

/** `lost`: SQLite reported an I/O error or a damaged file. The batch may or may not be in the file. */
type BatchOutcome =
  | { readonly kind: 'done'; readonly results: readonly OpResult[] }
  | { readonly kind: 'lost'; readonly message: string };

/** How often expired single-use keys are deleted. */
const purgeIntervalMs = 60_000;
/** Minimum number of AuditEvents whose deliveries an `index-step` operation queues. */
const enoughQueued = 1_024;

export interface Batches {
  /** Applies one batch durably. */
  apply(ops: readonly WriteOp[]): BatchOutcome;
  /** Returns the number of AuditEvents without search keys, or slightly more. */
  unindexed(): number;
  /** Whether an `index-step` operation has search keys to gather or write. */
  isStepDue(): boolean;
}

/** Applies batches on the connection that writes. `nowMs` never goes backwards. */
export function openBatches(db: DatabaseSync, nowMs = (): number => performance.now()): Batches {
  const statements = openStatements(db);
  const last = statements.row('SELECT coalesce(max(seq), 0) FROM audit');
  const index = openAuditIndex(statements, nowMs);
  let indexed = index.indexed();
  // A rolled-back batch may have used numbers that are recorded as indexed or queued.
  const sequence: AuditSequence = {
    next: Math.max(last === undefined ? 0 : numberAt(last, 0), indexed, readProgress(statements, 'queued')) + 1,
  };
  const counts = buildDeliveryCounts(statements);
  const textOf = openTexts(statements);
  /** Sequence number of the last committed AuditEvent. */
  let committed = sequence.next - 1;
  let purgedMs = Number.NEGATIVE_INFINITY;

  const apply = (op: WriteOp): OpResult => {
    if (typeof op === 'string') return applyUnit(statements, sequence, [], [], [op]);
    switch (op[0]) {
      case 'unit':
        return applyUnit(statements, sequence, op[1], op[2], op[3]);
      case 'once':
        if (op[3] - purgedMs >= purgeIntervalMs) {
          statements.run('DELETE FROM used_once WHERE expiresAtMs < ?', op[3]);
          purgedMs = op[3];
        }
        return statements.run('INSERT OR IGNORE INTO used_once VALUES (?, ?)', op[1], op[2]).changes === 1;
      case 'claim':
        queueDeliveries(statements, sequence.next - 1);
        return applyClaim(statements, textOf, op[1], op[2], op[3], op[4], op[5]);
      case 'settle':
        return applySettle(statements, counts, op[1], op[2], op[3], op[4]);
      case 'extend':
        return applyExtend(statements, op[1], op[2], op[3], op[4]);
      case 'requeue':
        queueDeliveries(statements, sequence.next - 1);
        return applyRequeue(statements, counts, op[1], op[2], op[3], op[4]);
      case 'hand-over':
        queueDeliveries(statements, sequence.next - 1);
        return applyHandOver(statements, counts, op[1], op[2], op[3], op[4]);
      case 'breach':
        return applyBreach(statements, op[1]);
      case 'number':
        return appendEvents(statements, op[1], op[2]);
      case 'acknowledge':
        acknowledgeEvents(statements, op[1], op[2]);
        return true;
      case 'index': {
        const upTo = op[1] ?? committed;
        const done = index.indexUpTo(upTo);
        if (done >= upTo) queueDeliveries(statements, committed);
        return { committed, indexed: done };
      }
      case 'index-step':
        index.indexSome(committed);
        queueDeliveries(statements, committed, enoughQueued);
        return true;
      case 'queue':
        queueDeliveries(statements, sequence.next - 1);
        return true;
    }
  };

  const inTransaction = (applyAll: () => OpResult[]): OpResult[] => {
    counts.clear();
    statements.run('BEGIN IMMEDIATE');
    try {
      const results = applyAll();
      counts.write();
      statements.run('COMMIT');
      committed = sequence.next - 1;
      return results;
    } catch (error) {
      if (db.isTransaction) statements.run('ROLLBACK');
      throw error;
    }
  };

  const applyOps = (ops: readonly WriteOp[]): BatchOutcome => {
    try {
      return { kind: 'done', results: inTransaction(() => ops.map(apply)) };
    } catch (error) {
      const failure = sqliteFailure(error);
      if (failure === 'lost') return lost(error);
      // The busy timeout has already passed, so trying again would wait as long.
      if (failure === 'busy') return { kind: 'done', results: ops.map(() => failed(failure, error)) };
    }
    try {
      return { kind: 'done', results: inTransaction(() => ops.map((op) => applyAlone(statements, () => apply(op)))) };
    } catch (error) {
      const failure = sqliteFailure(error);
      if (failure === 'lost') return lost(error);
      return { kind: 'done', results: ops.map(() => failed(failure, error)) };
    }
  };

  return {
    apply(ops) {
      const outcome = applyOps(ops);
      if (outcome.kind === 'done' && ops.some(([kind]) => kind === 'index' || kind === 'index-step'))
        indexed = index.indexed();
      return outcome;
    },
    unindexed: () => sequence.next - 1 - indexed,
    isStepDue: () => index.isDue(committed),
  };
}

function applyAlone(statements: Statements, apply: () => OpResult): OpResult {
  statements.run('SAVEPOINT op');
  try {
    const result = apply();
    statements.run('RELEASE op');
    return result;
  } catch (error) {
    const failure = sqliteFailure(error);
    // If SQLite has rolled back the whole transaction, no operation of the batch is applied.
    if (failure === 'lost' || !statements.db.isTransaction) throw error;
    statements.run('ROLLBACK TO op');
    statements.run('RELEASE op');
    return failed(failure, error);
  }
}

function failed(failure: Exclude<SqliteFailure, 'lost'>, error: unknown): OpFailure {
  return { failed: failure, message: messageOf(error) };
}

function lost(error: unknown): BatchOutcome {
  return { kind: 'lost', message: messageOf(error) };
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : 'unknown error';
}
