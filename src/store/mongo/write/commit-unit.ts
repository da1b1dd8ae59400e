/** Commits units over several documents: in a transaction where the server has them. */
import { type ClientSession, type MongoClient, MongoError, type TransactionOptions } from 'mongodb';
import type { AuditWrite, CommitResult, WriteUnit } from '../../store.ts';
import { storeUnavailable } from '../../store-unavailable.ts';
import { mongoFailure } from '../connection/mongo-failure.ts';
import { type AuditDocument, type Collections, resourceKey } from '../encoding/documents.ts';
import { applyResources, isTransient } from './apply-unit.ts';
import { checkUnit, type VersionLimits } from './check-unit.ts';
import { conditionKeys } from './condition-key.ts';

export interface UnitCommitOptions {
  readonly client: MongoClient;
  readonly collections: Collections;
  readonly versionLimits: VersionLimits;
  /** How long a unit is tried anew when others are first, or its outcome is unknown. */
  readonly timeLimitMs: number;
  readonly encodeAudit: (audit: AuditWrite) => AuditDocument;
}

/** `again`: another unit was first, or what became of it is unknown. */
export type Attempt = CommitResult | 'again';

const firstPauseMs = 2;
const longestPauseMs = 100;

/** Tries until the unit is committed or refused. Throws FhirFault `transient` when the time is up. */
export async function tryUntilDecided(timeLimitMs: number, attempt: () => Promise<Attempt>): Promise<CommitResult> {
  const deadlineMs = performance.now() + timeLimitMs;
  for (let pauseMs = firstPauseMs; ; pauseMs = Math.min(2 * pauseMs, longestPauseMs)) {
    const result = await attempt();
    if (result !== 'again') return result;
    if (performance.now() > deadlineMs) throw storeUnavailable('mongo-contention');
    await new Promise((resolve) => setTimeout(resolve, pauseMs * (0.5 + Math.random())));
  }
}

/** All or nothing, majority and journal, on a replica set or a sharded cluster. */
export function commitInTransaction(options: UnitCommitOptions, unit: WriteUnit): Promise<CommitResult> {
  const { client, collections, timeLimitMs } = options;
  let mayBeCommitted = false;
  return tryUntilDecided(timeLimitMs, async () => {
    if (mayBeCommitted && (await isCommitted(collections, unit))) return { kind: 'committed' };
    const session = client.startSession();
    try {
      const result = await attemptInTransaction(options, unit, session);
      if (result !== 'unknown') return result;
      mayBeCommitted = true;
      return 'again';
    } finally {
      await session.endSession();
    }
  });
}

async function attemptInTransaction(
  { collections, versionLimits, timeLimitMs, encodeAudit }: UnitCommitOptions,
  unit: WriteUnit,
  session: ClientSession,
): Promise<Attempt | 'unknown'> {
  const transaction: TransactionOptions & { maxCommitTimeMS: number } = {
    readConcern: { level: 'snapshot' },
    writeConcern: { w: 'majority', journal: true, wtimeoutMS: timeLimitMs },
    readPreference: 'primary',
    maxCommitTimeMS: timeLimitMs,
  };
  session.startTransaction(transaction);
  try {
    for (const key of conditionKeys(unit)) {
      await collections.condition.updateOne({ _id: { $eq: key } }, { $inc: { uses: 1 } }, { upsert: true, session });
    }
    const check = await checkUnit(collections, unit, versionLimits, session);
    if (check.kind === 'refused') {
      await session.abortTransaction();
      return check.refusal;
    }
    await applyResources({ collections, session, noteUndo: () => undefined }, unit, check.state);
    const audits = unit.audits.map((audit) => encodeAudit(audit));
    if (audits.length > 0) await collections.audit.insertMany(audits, { session });
  } catch (error) {
    // What the server does not hear of is undone by itself.
    await session.abortTransaction().catch(() => undefined);
    if (isTransient(error) || mongoFailure(error) === 'conflict') return 'again';
    throw error;
  }
  try {
    await session.commitTransaction();
    return { kind: 'committed' };
  } catch (error) {
    if (!(error instanceof MongoError)) throw error;
    // The driver has tried it twice already.
    if (error.hasErrorLabel('UnknownTransactionCommitResult') || mongoFailure(error) === 'unknown') return 'unknown';
    if (isTransient(error)) return 'again';
    throw error;
  }
}

/** Whether the unit is there: one part is enough, for they came together. What tells nothing is taken as not there. */
async function isCommitted({ resource, audit }: Collections, { audits, writes }: WriteUnit): Promise<boolean> {
  const [witness] = audits;
  if (witness !== undefined) {
    return (await audit.findOne({ _id: { $eq: witness.id }, body: { $eq: witness.body } })) !== null;
  }
  const [write] = writes;
  if (write === undefined) return false;
  const found = await resource.findOne({ _id: { $eq: resourceKey(write.type, write.id) } });
  if (found === null) return false;
  const versions = [{ version: found.version, body: found.body }, ...(found.versions ?? [])];
  return versions.some(({ version, body }) => version === write.version && body === write.body);
}
