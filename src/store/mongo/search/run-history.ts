/** Runs history plans: each scope on its own, then merged in one order. */
import { compareText } from '../../../fhir/search/compare-text.ts';
import type { HistoryEntry, HistoryPlan, HistoryResult, HistoryScope } from '../../history.ts';
import { type Collections, resourceKey, versionKey } from '../encoding/documents.ts';
import { encodePastVersion } from '../encoding/encode-unit.ts';
import { currentOnly } from '../read/read-resource.ts';
import {
  compileCurrent,
  compileKeyset,
  compileOpened,
  compilePast,
  compilePastKeyset,
  type HistoryPosition,
  newestFirst,
  positionOf,
} from './compile-history.ts';
import { isShown, listVersionsAt } from './history-at.ts';
import { countPast, findPast } from './history-past.ts';

interface ScopePage {
  /** Contains every version of the page, and possibly others. */
  readonly versions: readonly HistoryPosition[];
  readonly total: number;
}

/** Returns one page, and the total if the plan asks for it. */
export async function runHistory(
  collections: Collections,
  plan: HistoryPlan,
  timeLimitMs: number,
): Promise<HistoryResult> {
  const scopes = plan.scopes.filter(({ now }) => now.length > 0);
  const readScope = plan.at !== undefined ? readAt : plan.id !== undefined ? readInstance : readType;
  const pages = await Promise.all(scopes.map((scope) => readScope(collections, plan, scope, timeLimitMs)));
  const order = plan.id === undefined ? byTime : highestFirst;
  const versions = [...onceEach(pages.flatMap((page) => page.versions))].sort(order);
  const kept = versions.slice(0, plan.limit);
  const last = plan.limit > 0 && versions.length > plan.limit ? kept.at(-1) : undefined;
  return {
    entries: await readEntries(collections, kept),
    next: last === undefined ? undefined : plan.id === undefined ? [last.ms, last.key, last.version] : [last.version],
    total: plan.total ? pages.reduce((sum, { total }) => sum + total, 0) : undefined,
  };
}

function onceEach(versions: readonly HistoryPosition[]): Iterable<HistoryPosition> {
  return new Map(versions.map((each) => [versionKey(each.key, each.version), each])).values();
}

/** Reads one entry more than `limit`, of current and of past versions, each from an index in the order of the page. */
async function readType(
  collections: Collections,
  plan: HistoryPlan,
  scope: HistoryScope,
  timeLimitMs: number,
): Promise<ScopePage> {
  const { resource } = collections;
  const limited = { maxTimeMS: timeLimitMs };
  const current = compileCurrent(plan, scope);
  const position = positionOf(plan);
  const page = position === undefined ? current : { $and: [current, compileKeyset(position, 'current')] };
  const options = {
    projection: { version: 1, lastUpdatedMs: 1 },
    sort: newestFirst,
    limit: plan.limit + 1,
    ...limited,
  };
  // Current ones first: one that is replaced meanwhile is then in both, and on the page once.
  const currents = plan.limit > 0 ? await resource.find(page, options).toArray() : [];
  const [pasts, currentTotal, pastTotal] = await Promise.all([
    plan.limit > 0 ? findPast(collections, plan, scope, timeLimitMs) : [],
    plan.total ? resource.countDocuments(current, limited) : 0,
    plan.total ? countPast(collections, plan, scope, timeLimitMs) : 0,
  ]);
  const ofCurrents = currents.map(({ _id, version, lastUpdatedMs = 0 }) => ({ key: _id, version, ms: lastUpdatedMs }));
  return { versions: [...ofCurrents, ...pasts], total: currentTotal + pastTotal };
}

/** Reads the history of one resource from a range of `_id`. */
async function readInstance(
  { resource, version: past }: Collections,
  plan: HistoryPlan,
  scope: HistoryScope,
  timeLimitMs: number,
): Promise<ScopePage> {
  const limited = { maxTimeMS: timeLimitMs, hint: '_id_' } as const;
  const { id = '', after, sinceMs = Number.NEGATIVE_INFINITY } = plan;
  const key = resourceKey(scope.type, id);
  const fields = { version: 1, lastUpdatedMs: 1, labels: 1, versionLabels: 1 };
  const current = await resource.findOne(compileOpened(plan, scope), { projection: fields, ...limited });
  if (current === null) return { versions: [], total: 0 };
  const { version, lastUpdatedMs: ms = 0 } = current;
  const currents = isShown(current, scope) && ms >= sinceMs ? [{ key, version, ms }] : [];
  const filter = compilePast(plan, scope);
  const options = { projection: { version: 1, lastUpdatedMs: 1 }, sort: { _id: -1 }, limit: plan.limit + 1 } as const;
  const [pasts, pastTotal] = await Promise.all([
    plan.limit > 0
      ? past.find({ $and: [filter, ...compilePastKeyset(plan, key)] }, { ...options, ...limited }).toArray()
      : [],
    plan.total ? past.countDocuments(filter, limited) : 0,
  ]);
  return {
    versions: [
      ...currents.filter((each) => after === undefined || each.version < Number(after[0])),
      ...pasts.map((each) => ({ key, version: each.version, ms: each.lastUpdatedMs })),
    ],
    total: currents.length + pastTotal,
  };
}

async function readAt(
  collections: Collections,
  plan: HistoryPlan,
  scope: HistoryScope,
  timeLimitMs: number,
): Promise<ScopePage> {
  if (plan.at === undefined) return { versions: [], total: 0 };
  const versions = await listVersionsAt(collections, plan, plan.at, scope, timeLimitMs);
  return { versions: versions.filter((version) => isAfter(version, plan)), total: versions.length };
}

function isAfter(entry: HistoryPosition, plan: HistoryPlan): boolean {
  const { id, after } = plan;
  if (after === undefined) return true;
  if (id !== undefined) return entry.version < Number(after[0]);
  const position = positionOf(plan);
  return position === undefined || byTime(entry, position) > 0;
}

function highestFirst(a: HistoryPosition, b: HistoryPosition): number {
  return b.version - a.version;
}

function byTime(a: HistoryPosition, b: HistoryPosition): number {
  return b.ms - a.ms || compareText(b.key, a.key) || highestFirst(a, b);
}

/** Reads the versions. They never change once written, so a later read returns the same. */
async function readEntries(
  { resource, version: past }: Collections,
  versions: readonly HistoryPosition[],
): Promise<readonly HistoryEntry[]> {
  if (versions.length === 0) return [];
  const keys = [...new Set(versions.map(({ key }) => key))];
  const entries = new Map<string, HistoryEntry>();
  // Current ones first: one that is replaced meanwhile is then found among the past ones.
  for (const found of await resource.find({ _id: { $in: keys } }, { projection: currentOnly }).toArray()) {
    const { _id, type = '', id = '', version } = found;
    const { lastUpdatedMs, method, body } = encodePastVersion(found);
    entries.set(versionKey(_id, version), { type, id, version, lastUpdatedMs, method, body });
  }
  const missing = versions.map(({ key, version }) => versionKey(key, version)).filter((key) => !entries.has(key));
  const pasts = missing.length === 0 ? [] : await past.find({ _id: { $in: missing } }).toArray();
  for (const { _id, type, id, version, lastUpdatedMs, method, body } of pasts) {
    entries.set(_id, { type, id, version, lastUpdatedMs, method, body });
  }
  return versions.flatMap(({ key, version }) => entries.get(versionKey(key, version)) ?? []);
}
