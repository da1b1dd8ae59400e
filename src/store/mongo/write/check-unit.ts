/** Checks the preconditions of a unit by reading only. The writes repeat them in their filters. */
import type { ClientSession } from 'mongodb';
import type { CommitResult, ResourceWrite, WriteUnit } from '../../store.ts';
import { type Collections, type ResourceDocument, resourceKey } from '../encoding/documents.ts';
import { findTwoIds } from '../search/run-search.ts';

type Refusal = Exclude<CommitResult, { kind: 'committed' }>;

/** What a unit is applied to: documents by `_id`, and holders by unique key. */
export interface UnitState {
  readonly current: ReadonlyMap<string, ResourceDocument>;
  readonly holders: ReadonlyMap<string, string>;
}

export type Check =
  | { readonly kind: 'holds'; readonly state: UnitState }
  | { readonly kind: 'refused'; readonly refusal: Refusal };

/** Returns the state that the unit is applied to, or why it is refused. */
export async function checkUnit(collections: Collections, unit: WriteUnit, session: ClientSession): Promise<Check> {
  const { writes, guards, audits } = unit;
  // Sequential, because a session allows one operation at a time.
  const state: UnitState = {
    current: await readCurrent(collections, unit, session),
    holders: await readHolders(collections, writes, session),
  };
  const { current, holders } = state;
  for (const { type, id, expectRevision } of guards) {
    if ((current.get(resourceKey(type, id))?.revision ?? 0) !== expectRevision) return conflict(type, id);
  }
  const written = new Set<string>();
  for (const { type, id, version } of writes) {
    const key = resourceKey(type, id);
    if ((current.get(key)?.version ?? 0) !== version - 1 || written.has(key)) return conflict(type, id);
    written.add(key);
  }
  for (const { type, id, ifNoneExist } of writes) {
    if (ifNoneExist === undefined) continue;
    const [existingId, ...others] = await findTwoIds(collections, ifNoneExist, session);
    if (others.length > 0) return refused({ kind: 'refused', reason: 'multiple-matches', type, id });
    if (existingId !== undefined) return refused({ kind: 'refused', reason: 'exists', type, id, existingId });
  }
  const claimed = new Map<string, string>();
  for (const { type, id, uniqueKeys } of writes) {
    for (const key of uniqueKeys) {
      const other = claimed.get(key);
      if (other !== undefined && other !== id) return duplicate(type, id, other);
      claimed.set(key, id);
      const holder = holders.get(key);
      if (holder !== undefined && holder !== resourceKey(type, id))
        return duplicate(type, id, holder.slice(holder.indexOf('/') + 1));
    }
  }
  const ids = audits.map(({ id }) => id);
  const known = await readKnownAudits(collections, ids, session);
  for (const [index, id] of ids.entries()) {
    if (known.has(id) || ids.indexOf(id) < index) return duplicate('AuditEvent', id, id);
  }
  return { kind: 'holds', state };
}

async function readCurrent(
  { resource }: Collections,
  { writes, guards }: WriteUnit,
  session: ClientSession,
): Promise<ReadonlyMap<string, ResourceDocument>> {
  const keys = [...new Set([...writes, ...guards].map(({ type, id }) => resourceKey(type, id)))];
  const found = await resource.find({ _id: { $in: keys } }, { session }).toArray();
  return new Map(found.map((document) => [document._id, document]));
}

async function readHolders(
  { uniqueKey }: Collections,
  writes: readonly ResourceWrite[],
  session: ClientSession,
): Promise<ReadonlyMap<string, string>> {
  const keys = [...new Set(writes.flatMap(({ uniqueKeys }) => uniqueKeys))];
  if (keys.length === 0) return new Map();
  const found = await uniqueKey.find({ _id: { $in: keys } }, { session }).toArray();
  return new Map(found.map(({ _id, holder }) => [_id, holder]));
}

async function readKnownAudits(
  { audit }: Collections,
  ids: readonly string[],
  session: ClientSession,
): Promise<ReadonlySet<string>> {
  if (ids.length === 0) return new Set();
  const options = { projection: { _id: 1 }, session };
  const found = await audit.find({ _id: { $in: [...ids] } }, options).toArray();
  return new Set(found.map(({ _id }) => _id));
}

function conflict(type: string, id: string): Check {
  return refused({ kind: 'refused', reason: 'version-conflict', type, id });
}

function duplicate(type: string, id: string, existingId: string): Check {
  return refused({ kind: 'refused', reason: 'duplicate-key', type, id, existingId });
}

function refused(refusal: Refusal): Check {
  return { kind: 'refused', refusal };
}
