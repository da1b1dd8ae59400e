/** Finds and counts the past versions of a type whose resources the caller may see. */
import type { HistoryPlan, HistoryScope } from '../../history.ts';
import { type Collections, resourceKey } from '../encoding/documents.ts';
import {
  compileKeyset,
  compileOpened,
  compilePast,
  type HistoryPosition,
  newestFirst,
  positionOf,
} from './compile-history.ts';

type Histories = Pick<Collections, 'resource' | 'version'>;

/** Least number of versions that are read together. */
const pageVersions = 100;
/** Number of resources whose present labels are read together. */
const pageResources = 1_000;

/** Returns up to one version more than `limit`, newest first. Reads on while the present labels leave some of them out. */
export async function findPast(
  collections: Histories,
  plan: HistoryPlan,
  scope: HistoryScope,
  timeLimitMs: number,
): Promise<readonly HistoryPosition[]> {
  const filter = compilePast(plan, scope);
  const limit = Math.max(plan.limit + 1, pageVersions);
  const options = {
    projection: { id: 1, version: 1, lastUpdatedMs: 1 },
    sort: newestFirst,
    limit,
    batchSize: limit,
    maxTimeMS: timeLimitMs,
  };
  const found: HistoryPosition[] = [];
  let position = positionOf(plan);
  while (true) {
    const page = position === undefined ? filter : { $and: [filter, compileKeyset(position, 'past')] };
    const versions = await collections.version.find(page, options).toArray();
    const positions = versions.map(({ id, version, lastUpdatedMs: ms }) => ({
      key: resourceKey(scope.type, id),
      version,
      ms,
    }));
    const keys = positions.map(({ key }) => key);
    const opened = await findOpened(collections, plan, scope, keys, timeLimitMs);
    found.push(...positions.filter(({ key }) => opened.has(key)));
    position = positions.at(-1);
    if (position === undefined || versions.length < limit || found.length > plan.limit) return found;
  }
}

/** Counts them, on all pages. */
export async function countPast(
  collections: Histories,
  plan: HistoryPlan,
  scope: HistoryScope,
  timeLimitMs: number,
): Promise<number> {
  const stages = [{ $match: compilePast(plan, scope) }, { $group: { _id: '$id', versions: { $sum: 1 } } }];
  const options = { maxTimeMS: timeLimitMs, allowDiskUse: true, batchSize: pageResources };
  let total = 0;
  let counts = new Map<string, number>();
  const addOpened = async (): Promise<void> => {
    const opened = await findOpened(collections, plan, scope, [...counts.keys()], timeLimitMs);
    for (const [key, versions] of counts) if (opened.has(key)) total += versions;
    counts = new Map();
  };
  for await (const { _id, versions } of collections.version.aggregate<{ _id: string; versions: number }>(
    stages,
    options,
  )) {
    counts.set(resourceKey(scope.type, _id), versions);
    if (counts.size === pageResources) await addOpened();
  }
  await addOpened();
  return total;
}

/** Returns those of the resources that have a visible present label. */
async function findOpened(
  { resource }: Histories,
  plan: HistoryPlan,
  scope: HistoryScope,
  keys: readonly string[],
  timeLimitMs: number,
): Promise<ReadonlySet<string>> {
  if (keys.length === 0) return new Set();
  const filter = { ...compileOpened(plan, scope), _id: { $in: [...new Set(keys)] } };
  const found = await resource.find(filter, { projection: { _id: 1 }, hint: '_id_', maxTimeMS: timeLimitMs }).toArray();
  return new Set(found.map(({ _id }) => _id));
}
