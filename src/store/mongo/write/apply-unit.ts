/**
 * Applies a unit that has been checked. Each write holds its precondition again, in its filter or in a unique `_id`: when
 * something has changed since the check it throws `UnitConflict`, and the unit is tried anew from the check on.
 */
import { type ClientSession, MongoError } from 'mongodb';
import type { ResourceWrite, RevisionGuard, WriteUnit } from '../../store.ts';
import { isDuplicateKey, mongoFailure } from '../connection/mongo-failure.ts';
import { type Collections, type ResourceDocument, resourceKey } from '../encoding/documents.ts';
import type { UnitState } from './check-unit.ts';
import { encodeMark, encodePastVersion, encodeWrite } from './encode-unit.ts';

/** Another unit was first. */
class UnitConflict extends Error {
  constructor() {
    super('another unit was first');
    this.name = 'UnitConflict';
  }
}

/** Within a transaction, or where there are none, with notes of how to undo each step. */
export interface UnitTarget {
  readonly collections: Collections;
  readonly session: ClientSession | undefined;
  /** Notes how to undo what has been done, or may have been. */
  readonly noteUndo: (undo: () => Promise<unknown>) => void;
}

export async function applyResources(target: UnitTarget, unit: WriteUnit, state: UnitState): Promise<void> {
  try {
    await applyKeys(target, unit.writes, state);
    const guardOf = new Map(unit.guards.map((guard) => [resourceKey(guard.type, guard.id), guard]));
    const written = new Set(unit.writes.map(({ type, id }) => resourceKey(type, id)));
    for (const [key, guard] of guardOf) if (!written.has(key)) await applyGuard(target, key, guard, state);
    for (const write of unit.writes) await applyWrite(target, write, state);
    await giveUpKeys(target, unit.writes, state);
  } catch (error) {
    // Where there is a transaction it is lost with this error; where there is none, the unit is undone.
    if (isDuplicateKey(error)) throw new UnitConflict();
    throw error;
  }
}

/** `run` says whether it found what it was to change. */
async function step(target: UnitTarget, run: () => Promise<boolean>, undo: () => Promise<unknown>): Promise<void> {
  try {
    if (!(await run())) throw new UnitConflict();
  } catch (error) {
    if (mongoFailure(error) === 'unknown') target.noteUndo(undo);
    throw error;
  }
  target.noteUndo(undo);
}

function sessionOf({ session }: UnitTarget): { session?: ClientSession } {
  return session === undefined ? {} : { session };
}

/** New keys are taken, and those that change hands within the unit handed over. */
async function applyKeys(target: UnitTarget, writes: readonly ResourceWrite[], state: UnitState): Promise<void> {
  const { uniqueKey } = target.collections;
  for (const { type, id, uniqueKeys, body } of writes) {
    if (body === null) continue;
    const holder = resourceKey(type, id);
    for (const key of new Set(uniqueKeys)) {
      const before = state.holders.get(key);
      if (before === holder) continue;
      const byId = { _id: { $eq: key } };
      const ours = { ...byId, holder: { $eq: holder } };
      if (before === undefined) {
        const insert = async () => (await uniqueKey.insertOne({ _id: key, holder }, sessionOf(target))).acknowledged;
        await step(target, insert, () => uniqueKey.deleteOne(ours));
        continue;
      }
      const theirs = { ...byId, holder: { $eq: before } };
      const handOver = async () =>
        (await uniqueKey.updateOne(theirs, { $set: { holder } }, sessionOf(target))).matchedCount > 0;
      await step(target, handOver, () => uniqueKey.updateOne(ours, { $set: { holder: before } }));
    }
  }
}

/** Keys that a resource held and does not hold any more; handed over ones have another holder by now. */
async function giveUpKeys(target: UnitTarget, writes: readonly ResourceWrite[], state: UnitState): Promise<void> {
  const { uniqueKey } = target.collections;
  for (const { type, id, uniqueKeys, body } of writes) {
    const holder = resourceKey(type, id);
    const kept = new Set(body === null ? [] : uniqueKeys);
    const given = [...state.holders].filter(([key, held]) => held === holder && !kept.has(key)).map(([key]) => key);
    if (given.length === 0) continue;
    const giveUp = async () =>
      (await uniqueKey.deleteMany({ _id: { $in: given }, holder: { $eq: holder } }, sessionOf(target))).acknowledged;
    const taken = given.map((_id) => ({ _id, holder }));
    await step(target, giveUp, () =>
      uniqueKey.insertMany(taken, { ordered: false }).catch((error: unknown) => {
        if (!isDuplicateKey(error)) throw error;
      }),
    );
  }
}

async function applyGuard(target: UnitTarget, key: string, guard: RevisionGuard, state: UnitState): Promise<void> {
  const { resource } = target.collections;
  const before = state.current.get(key);
  if (before === undefined || before.version === 0) {
    // That it is absent has been decided on: whoever creates it writes this document, too.
    await resource.updateOne(
      { _id: { $eq: key }, version: { $eq: 0 } },
      { $inc: { guards: 1 }, $setOnInsert: { revision: 0 } },
      { upsert: true, ...sessionOf(target) },
    );
    return;
  }
  const { revision } = before;
  const labels = guard.labels === undefined ? {} : { labels: [...guard.labels] };
  const touched = { _id: { $eq: key }, version: { $eq: before.version }, revision: { $eq: revision + 1 } };
  const run = async () => {
    const filter = { _id: { $eq: key }, revision: { $eq: revision } };
    const change = { $set: { revision: revision + 1, ...labels } };
    return (await resource.updateOne(filter, change, sessionOf(target))).matchedCount > 0;
  };
  await step(target, run, () => resource.updateOne(touched, { $set: { revision, labels: before.labels ?? [] } }));
}

async function applyWrite(target: UnitTarget, write: ResourceWrite, state: UnitState): Promise<void> {
  const { resource } = target.collections;
  const key = resourceKey(write.type, write.id);
  const before = state.current.get(key);
  const revision = before?.revision ?? 0;
  const bodyBytes = (before?.bodyBytes ?? 0) + (write.body === null ? 0 : Buffer.byteLength(write.body));
  const next = { ...encodeWrite(write), revision: revision + 1, bodyBytes };
  const written = { _id: { $eq: key }, revision: { $eq: revision + 1 }, body: { $eq: write.body } };
  if (before === undefined || before.version === 0) {
    const create = async () => {
      const filter = { _id: { $eq: key }, version: { $eq: 0 } };
      const options = { upsert: true, ...sessionOf(target) };
      return (await resource.updateOne(filter, { $set: { ...next, versions: [], marks: [] } }, options)).acknowledged;
    };
    await step(target, create, () => resource.deleteOne(written));
    return;
  }
  const update = async () => {
    const filter = { _id: { $eq: key }, version: { $eq: before.version }, revision: { $eq: revision } };
    const past = encodePastVersion(before);
    const change = { $set: next, $push: { versions: past, marks: encodeMark(past) } };
    return (await resource.updateOne(filter, change, sessionOf(target))).matchedCount > 0;
  };
  await step(target, update, () =>
    resource.updateOne(written, { $set: contentOf(before), $pop: { versions: 1, marks: 1 } }),
  );
}

function contentOf({ _id, versions, marks, ...content }: ResourceDocument): Partial<ResourceDocument> {
  return content;
}

/** Whether a transaction may be tried anew. */
export function isTransient(error: unknown): boolean {
  if (error instanceof UnitConflict) return true;
  return error instanceof MongoError && (error.hasErrorLabel('TransientTransactionError') || error.code === 112);
}
