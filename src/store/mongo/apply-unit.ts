/**
 * Applies a unit that has been checked. Each write holds its precondition again, in its filter or in a unique `_id`: when
 * something has changed since the check it throws `UnitConflict`, and the unit is tried anew from the check on.
 */
import { type ClientSession, MongoServerError } from 'mongodb';
import type { ResourceWrite, Touch, WriteUnit } from '../store.ts';
import type { UnitState } from './check-unit.ts';
import { type Collections, type ResourceDocument, resourceKey } from './documents.ts';
import { encodePastVersion, encodeWrite } from './encode-unit.ts';
import { isDuplicateKey } from './mongo-failure.ts';

/** Another unit was first. */
export class UnitConflict extends Error {
  constructor() {
    super('another unit was first');
    this.name = 'UnitConflict';
  }
}

/** Within a transaction, or where there are none, with notes of how to undo each step. */
export interface UnitTarget {
  readonly collections: Collections;
  readonly session: ClientSession | undefined;
  /** Called right before what it undoes. */
  readonly undo: (step: () => Promise<unknown>) => void;
}

export async function applyResources(target: UnitTarget, unit: WriteUnit, state: UnitState): Promise<void> {
  try {
    await applyKeys(target, unit.writes, state);
    const touchOf = new Map(unit.touches.map((touch) => [resourceKey(touch.type, touch.id), touch]));
    const written = new Set(unit.writes.map(({ type, id }) => resourceKey(type, id)));
    for (const [key, touch] of touchOf) if (!written.has(key)) await applyTouch(target, key, touch, state);
    for (const write of unit.writes) await applyWrite(target, write, state);
    await giveUpKeys(target, unit.writes, state);
  } catch (error) {
    // Where there is a transaction it is lost with this error; where there is none, the unit is undone.
    if (isDuplicateKey(error)) throw new UnitConflict();
    throw error;
  }
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
      if (before === undefined) {
        target.undo(() => uniqueKey.deleteOne({ ...byId, holder: { $eq: holder } }));
        await uniqueKey.insertOne({ _id: key, holder }, sessionOf(target));
        continue;
      }
      target.undo(() => uniqueKey.updateOne({ ...byId, holder: { $eq: holder } }, { $set: { holder: before } }));
      const handing = await uniqueKey.updateOne(
        { ...byId, holder: { $eq: before } },
        { $set: { holder } },
        sessionOf(target),
      );
      if (handing.matchedCount === 0) throw new UnitConflict();
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
    await uniqueKey.deleteMany({ _id: { $in: given }, holder: { $eq: holder } }, sessionOf(target));
  }
}

async function applyTouch(target: UnitTarget, key: string, touch: Touch, state: UnitState): Promise<void> {
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
  const labels = touch.labels === undefined ? {} : { labels: [...touch.labels] };
  target.undo(() =>
    resource.updateOne(
      { _id: { $eq: key }, version: { $eq: before.version }, revision: { $eq: revision + 1 } },
      { $set: { revision, labels: before.labels ?? [] } },
    ),
  );
  const touched = await resource.updateOne(
    { _id: { $eq: key }, revision: { $eq: revision } },
    { $set: { revision: revision + 1, ...labels } },
    sessionOf(target),
  );
  if (touched.matchedCount === 0) throw new UnitConflict();
}

async function applyWrite(target: UnitTarget, write: ResourceWrite, state: UnitState): Promise<void> {
  const { resource } = target.collections;
  const key = resourceKey(write.type, write.id);
  const before = state.current.get(key);
  const revision = before?.revision ?? 0;
  const bodyBytes = (before?.bodyBytes ?? 0) + (write.body === null ? 0 : Buffer.byteLength(write.body));
  const next = { ...encodeWrite(write), revision: revision + 1, bodyBytes };
  const written = { _id: { $eq: key }, version: { $eq: write.version }, revision: { $eq: revision + 1 } };
  if (before === undefined || before.version === 0) {
    target.undo(() => resource.deleteOne(written));
    await resource.updateOne(
      { _id: { $eq: key }, version: { $eq: 0 } },
      { $set: { ...next, versions: [] } },
      { upsert: true, ...sessionOf(target) },
    );
    return;
  }
  target.undo(() => resource.updateOne(written, { $set: contentOf(before), $pop: { versions: 1 } }));
  const updated = await resource.updateOne(
    { _id: { $eq: key }, version: { $eq: before.version }, revision: { $eq: revision } },
    { $set: next, $push: { versions: encodePastVersion(before) } },
    sessionOf(target),
  );
  if (updated.matchedCount === 0) throw new UnitConflict();
}

function contentOf({ _id, versions, ...content }: ResourceDocument): Omit<ResourceDocument, '_id' | 'versions'> {
  return content;
}

/** Whether a transaction may be tried anew. */
export function isTransient(error: unknown): boolean {
  if (error instanceof UnitConflict) return true;
  return error instanceof MongoServerError && (error.hasErrorLabel('TransientTransactionError') || error.code === 112);
}
