/**
 * Applies a checked unit within its transaction. Each write repeats its precondition, in its filter or in a unique `_id`.
 * If something has changed since the check it throws `UnitConflict`, and the unit is checked and applied again.
 */
import { type ClientSession, MongoError } from 'mongodb';
import type { ResourceWrite, RevisionGuard, WriteUnit } from '../../store.ts';
import { isDuplicateKey } from '../connection/mongo-failure.ts';
import { type Collections, resourceKey } from '../encoding/documents.ts';
import { encodePastVersion, encodeVersion, encodeWrite } from '../encoding/encode-unit.ts';
import type { UnitState } from './check-unit.ts';

/** Another unit changed what this one depends on. */
class UnitConflict extends Error {
  constructor() {
    super('another unit was committed first');
    this.name = 'UnitConflict';
  }
}

/** Where a unit is applied. */
export interface UnitTarget {
  readonly collections: Collections;
  readonly session: ClientSession;
}

/** Writes the resources of the unit and their unique keys. Throws; the transaction is then lost and must be aborted. */
export async function applyResources(target: UnitTarget, unit: WriteUnit, state: UnitState): Promise<void> {
  try {
    await takeKeys(target, unit.writes, state);
    const written = new Set(unit.writes.map(({ type, id }) => resourceKey(type, id)));
    const guards = new Map(unit.guards.map((guard) => [resourceKey(guard.type, guard.id), guard]));
    for (const [key, guard] of guards) if (!written.has(key)) await applyGuard(target, key, guard, state);
    for (const write of unit.writes) await applyWrite(target, write, state);
    await keepPast(target, unit.writes, state);
  } catch (error) {
    if (isDuplicateKey(error)) throw new UnitConflict();
    throw error;
  }
}

/** Inserts the keys that nobody held. A resource keeps its keys for good. */
async function takeKeys(
  { collections: { uniqueKey }, session }: UnitTarget,
  writes: readonly ResourceWrite[],
  state: UnitState,
): Promise<void> {
  for (const { type, id, uniqueKeys } of writes) {
    const holder = resourceKey(type, id);
    for (const key of new Set(uniqueKeys)) {
      if (!state.holders.has(key)) await uniqueKey.insertOne({ _id: key, holder }, { session });
    }
  }
}

async function applyGuard(
  { collections: { resource }, session }: UnitTarget,
  key: string,
  guard: RevisionGuard,
  state: UnitState,
): Promise<void> {
  const before = state.current.get(key);
  if (before === undefined || before.version === 0) {
    // The unit depends on the absence of this resource. Creating it writes the same document, so the two conflict.
    await resource.updateOne(
      { _id: { $eq: key }, version: { $eq: 0 } },
      { $inc: { guards: 1 }, $setOnInsert: { revision: 0 } },
      { upsert: true, session },
    );
    return;
  }
  const { revision } = before;
  const labels = guard.labels === undefined ? {} : { labels: [...guard.labels] };
  const filter = { _id: { $eq: key }, revision: { $eq: revision } };
  expectChange(await resource.updateOne(filter, { $set: { revision: revision + 1, ...labels } }, { session }));
}

async function applyWrite(
  { collections: { resource }, session }: UnitTarget,
  write: ResourceWrite,
  state: UnitState,
): Promise<void> {
  const { type, id } = write;
  const key = resourceKey(type, id);
  const before = state.current.get(key);
  const revision = before?.revision ?? 0;
  const next = { ...encodeWrite(write), revision: revision + 1 };
  if (before === undefined || before.version === 0) {
    const filter = { _id: { $eq: key }, version: { $eq: 0 } };
    await resource.updateOne(filter, { $set: next }, { upsert: true, session });
    return;
  }
  const filter = { _id: { $eq: key }, version: { $eq: before.version }, revision: { $eq: revision } };
  const former = before.versions === undefined ? {} : { $unset: { versions: 1, marks: 1, bodyBytes: 1 } as const };
  expectChange(await resource.updateOne(filter, { $set: next, ...former }, { session }));
}

/** Inserts the versions that the unit replaces, and those that an older server has left in the document of the resource. */
async function keepPast(
  { collections: { version }, session }: UnitTarget,
  writes: readonly ResourceWrite[],
  state: UnitState,
): Promise<void> {
  const past = writes.flatMap(({ type, id }) => {
    const key = resourceKey(type, id);
    const before = state.current.get(key);
    if (before === undefined || before.version === 0) return [];
    return [...(before.versions ?? []), encodePastVersion(before)].map((each) => encodeVersion(key, type, id, each));
  });
  if (past.length > 0) await version.insertMany(past, { session });
}

function expectChange({ matchedCount }: { readonly matchedCount: number }): void {
  if (matchedCount === 0) throw new UnitConflict();
}

/** Returns whether the transaction may be tried again. */
export function isTransient(error: unknown): boolean {
  if (error instanceof UnitConflict) return true;
  return error instanceof MongoError && (error.hasErrorLabel('TransientTransactionError') || error.code === 112);
}
