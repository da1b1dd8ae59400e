/** Commits units over several documents, each in one transaction. */
import { type ClientSession, type MongoClient, MongoError, type TransactionOptions } from 'mongodb';
import type { AuditWrite, CommitResult, WriteUnit } from '../../store.ts';
import { storeUnavailable, writeOutcomeUnknown } from '../../store-unavailable.ts';
import { mongoFailure } from '../connection/mongo-failure.ts';
import type { AuditDocument, Collections } from '../encoding/documents.ts';
import { applyResources, isTransient } from './apply-unit.ts';
import { checkUnit } from './check-unit.ts';
import { conditionKeys } from './condition-key.ts';

export interface UnitCommitOptions {
  readonly client: MongoClient;
  readonly collections: Collections;
  /** How long the majority may take to acknowledge a commit. */
  readonly timeLimitMs: number;
  /** How long a unit is tried again after a conflict or an unknown outcome. */
  readonly deadlineMs: number;
  readonly encodeAudit: (audit: AuditWrite) => AuditDocument;
}

/** `conflict`: another unit was committed first, and nothing of this one. */
type Attempt = CommitResult | 'conflict';

const firstPauseMs = 2;
const maxPauseMs = 100;

/**
 * Commits all of the unit or nothing, durable on the majority when it resolves. Throws FhirFault `transient` when the time
 * is up.
 */
export async function commitUnit(options: UnitCommitOptions, unit: WriteUnit): Promise<CommitResult> {
  const { client, deadlineMs } = options;
  const pause = buildPause(performance.now() + deadlineMs);
  while (true) {
    const session = client.startSession();
    try {
      const result = await attempt(options, unit, session, pause);
      if (result !== 'conflict') return result;
    } finally {
      await session.endSession();
    }
    if (!(await pause())) throw storeUnavailable('mongo-contention');
  }
}

/** Returns a function that waits, longer each time. It returns false instead when the time is up. */
function buildPause(deadlineMs: number): () => Promise<boolean> {
  let pauseMs = firstPauseMs;
  return async () => {
    if (performance.now() > deadlineMs) return false;
    await new Promise((resolve) => setTimeout(resolve, pauseMs * (0.5 + Math.random())));
    pauseMs = Math.min(2 * pauseMs, maxPauseMs);
    return true;
  };
}

async function attempt(
  { collections, timeLimitMs, encodeAudit }: UnitCommitOptions,
  unit: WriteUnit,
  session: ClientSession,
  pause: () => Promise<boolean>,
): Promise<Attempt> {
  const transaction: TransactionOptions & { maxCommitTimeMS: number } = {
    readConcern: { level: 'snapshot' },
    writeConcern: { w: 'majority', journal: true, wtimeoutMS: timeLimitMs },
    readPreference: 'primary',
    maxCommitTimeMS: timeLimitMs,
  };
  session.startTransaction(transaction);
  let audits: readonly AuditDocument[] = [];
  try {
    for (const key of conditionKeys(unit)) {
      const use = { $inc: { uses: 1 }, $currentDate: { usedAt: true } } as const;
      await collections.condition.updateOne({ _id: { $eq: key } }, use, { upsert: true, session });
    }
    const check = await checkUnit(collections, unit, session);
    if (check.kind === 'refused') {
      await session.abortTransaction();
      return check.refusal;
    }
    await applyResources({ collections, session }, unit, check.state);
    audits = unit.audits.map((audit) => encodeAudit(audit));
    if (audits.length > 0) await collections.audit.insertMany([...audits], { session });
  } catch (error) {
    // The server drops a transaction that it hears no more of.
    await session.abortTransaction().catch(() => undefined);
    if (isTransient(error) || mongoFailure(error) === 'conflict') return 'conflict';
    throw error;
  }
  return commitSession(session, pause, () => isCommitted(collections, audits));
}

/**
 * Sends the commit again while its outcome is unknown: the server answers what became of the transaction. One that was
 * left open instead would block its documents until the server drops it. The driver sends it again by itself too, so a server
 * that no longer knows the transaction proves nothing: its AuditEvents are looked for.
 */
async function commitSession(
  session: ClientSession,
  pause: () => Promise<boolean>,
  isDurable: () => Promise<boolean>,
): Promise<Attempt> {
  while (true) {
    try {
      await session.commitTransaction();
      return { kind: 'committed' };
    } catch (error) {
      if (isUnknownCommit(error)) {
        if (!(await pause())) throw writeOutcomeUnknown('mongo-outcome-unknown');
        continue;
      }
      if (!isTransient(error)) throw error;
      const durable = await isDurable().catch(() => {
        throw writeOutcomeUnknown('mongo-outcome-unknown');
      });
      return durable ? { kind: 'committed' } : 'conflict';
    }
  }
}

/** Returns whether the majority has the AuditEvents of this attempt, whose `seq` no other attempt has. */
async function isCommitted({ audit }: Pick<Collections, 'audit'>, [first]: readonly AuditDocument[]): Promise<boolean> {
  if (first === undefined) return false;
  const found = await audit.findOne({ _id: { $eq: first._id }, seq: { $eq: first.seq } }, { projection: { _id: 1 } });
  return found !== null;
}

function isUnknownCommit(error: unknown): boolean {
  if (error instanceof MongoError && error.hasErrorLabel('UnknownTransactionCommitResult')) return true;
  return mongoFailure(error) === 'unknown';
}
