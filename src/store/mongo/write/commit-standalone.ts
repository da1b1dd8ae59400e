/**
 * Commits units on a server without transactions, which is allowed by a setting that says `dangerously` only. AuditEvents
 * are noted first, in a collection that nobody reads; then the resources are written, each step with a note of how to undo
 * it; then the AuditEvents become visible and due. So nothing is written without its AuditEvent, not even when the process
 * ends in the middle: what was noted is made visible later, though what it tells of may then have been done in part.
 */
import type { CommitResult, WriteUnit } from '../../store.ts';
import { isDuplicateKey, mongoFailure } from '../connection/mongo-failure.ts';
import type { AuditDocument, Collections } from '../encoding/documents.ts';
import { applyResources, isTransient } from './apply-unit.ts';
import { checkUnit } from './check-unit.ts';
import { type Attempt, tryUntilDecided, type UnitCommitOptions } from './commit-unit.ts';
import { conditionKeys } from './condition-key.ts';

export interface StandaloneOptions extends UnitCommitOptions {
  readonly newToken: () => string;
  /** The clock of the database, epoch milliseconds. */
  readonly nowMs: () => number;
  /** A step could not be undone: the unit is applied in part. */
  readonly onNotUndone: (error: unknown) => void;
}

/** How long a condition is held, and an AuditEvent noted, by a process that has ended. */
const abandonedAfterMs = 60_000;
const mostTries = 4;
const pauseMs = 100;

export function commitWithoutTransaction(options: StandaloneOptions, unit: WriteUnit): Promise<CommitResult> {
  return tryUntilDecided(options.timeLimitMs, () => attempt(options, unit));
}

async function attempt(options: StandaloneOptions, unit: WriteUnit): Promise<Attempt> {
  const { collections, onNotUndone } = options;
  const undos: (() => Promise<unknown>)[] = [];
  const held: (() => Promise<unknown>)[] = [];
  try {
    for (const key of conditionKeys(unit)) {
      const release = await holdCondition(options, key);
      if (release === undefined) return 'again';
      held.push(release);
    }
    const check = await checkUnit(collections, unit, options.versionLimits, undefined);
    if (check.kind === 'refused') return check.refusal;
    const audits = unit.audits.map(options.encodeAudit);
    try {
      await notePending(options, audits);
      await applyResources(
        { collections, session: undefined, noteUndo: (undo) => undos.push(undo) },
        unit,
        check.state,
      );
    } catch (error) {
      await undoAll(options, undos, audits);
      if (isTransient(error) || isDuplicateKey(error)) return 'again';
      throw error;
    }
    await makeVisible(collections, audits);
    return { kind: 'committed' };
  } finally {
    for (const release of held) await release().catch(onNotUndone);
  }
}

/** A step of undoing is safe to repeat, and must not be lost with the connection that the unit was lost with. */
async function persist(undo: () => Promise<unknown>): Promise<unknown> {
  for (let tries = 1; ; tries++) {
    try {
      return await undo();
    } catch (error) {
      if (tries >= mostTries || mongoFailure(error) === 'rejected') throw error;
      await new Promise((resolve) => setTimeout(resolve, pauseMs * tries));
    }
  }
}

/** Gives the way to let go of it; undefined: another unit holds it. */
async function holdCondition(
  { collections, newToken, nowMs }: StandaloneOptions,
  key: string,
): Promise<(() => Promise<unknown>) | undefined> {
  const { condition } = collections;
  const unit = newToken();
  const release = () => condition.deleteOne({ _id: { $eq: key }, unit: { $eq: unit } });
  try {
    await condition.deleteOne({ _id: { $eq: key }, untilMs: { $lte: nowMs() } });
    await condition.insertOne({ _id: key, unit, untilMs: nowMs() + abandonedAfterMs });
    return release;
  } catch (error) {
    if (isDuplicateKey(error)) return undefined;
    if (mongoFailure(error) === 'unknown') await release().catch(() => undefined);
    throw error;
  }
}

async function notePending({ collections, nowMs }: StandaloneOptions, audits: readonly AuditDocument[]): Promise<void> {
  if (audits.length === 0) return;
  const untilMs = nowMs() + abandonedAfterMs;
  await collections.pendingAudit.insertMany(audits.map((audit) => ({ _id: audit._id, untilMs, audit })));
}

/** What could not be undone keeps its AuditEvents, which are made visible later. */
async function undoAll(
  { collections, onNotUndone }: StandaloneOptions,
  undos: readonly (() => Promise<unknown>)[],
  audits: readonly AuditDocument[],
): Promise<void> {
  let isUndone = true;
  for (const undo of undos.toReversed()) {
    await persist(undo).catch((error: unknown) => {
      isUndone = false;
      onNotUndone(error);
    });
  }
  if (!isUndone || audits.length === 0) return;
  // By `seq`, which is of this attempt alone: another unit with the same id keeps its own.
  const seqs = audits.map(({ seq }) => seq);
  await persist(() => collections.pendingAudit.deleteMany({ 'audit.seq': { $in: seqs } })).catch(onNotUndone);
}

/** Safe to repeat. */
async function makeVisible({ audit, pendingAudit }: Collections, audits: readonly AuditDocument[]): Promise<void> {
  if (audits.length === 0) return;
  try {
    await audit.insertMany([...audits], { ordered: false });
  } catch (error) {
    // They are noted: whoever looks for abandoned ones does it when this process cannot.
    if (!isDuplicateKey(error)) throw error;
  }
  await pendingAudit.deleteMany({ _id: { $in: audits.map(({ _id }) => _id) } });
}

/** Makes visible what a process has noted that ended before it could. */
export async function adoptAbandoned(collections: Collections, nowMs: number): Promise<number> {
  const abandoned = await collections.pendingAudit
    .find({ untilMs: { $lte: nowMs } })
    .limit(500)
    .toArray();
  await makeVisible(
    collections,
    abandoned.map(({ audit }) => audit),
  );
  return abandoned.length;
}
