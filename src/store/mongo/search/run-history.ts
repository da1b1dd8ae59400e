/** Runs history plans: each scope on its own, then merged in one order. */
import { compareText } from '../../../fhir/search/compare-text.ts';
import type { HistoryEntry, HistoryPlan, HistoryResult, HistoryScope } from '../../history.ts';
import type { Collections, PastVersion, ResourceDocument, VersionMark } from '../encoding/documents.ts';
import { encodePastVersion } from '../encoding/encode-unit.ts';
import { withVersions } from '../read/read-resource.ts';
import { compileCurrent, compileKeyset, compilePast, compilePastPage, newestFirst } from './compile-history.ts';
import { type HistoryVersion, listVersions } from './history-marks.ts';

interface ScopePage {
  /** Contains every version of the page, and possibly others. */
  readonly versions: readonly HistoryVersion[];
  readonly total: number;
}

/** Returns one page, and the total if the plan asks for it. */
export async function runHistory(
  collections: Collections,
  plan: HistoryPlan,
  timeLimitMs: number,
): Promise<HistoryResult> {
  const scopes = plan.scopes.filter(({ now }) => now.length > 0);
  const readScope = plan.id === undefined && plan.at === undefined ? readPage : readWhole;
  const pages = await Promise.all(scopes.map((scope) => readScope(collections, plan, scope, timeLimitMs)));
  const order = plan.id === undefined ? byTime : highestFirst;
  const versions = pages.flatMap((page) => page.versions).sort(order);
  const kept = versions.slice(0, plan.limit);
  const last = plan.limit > 0 && versions.length > plan.limit ? kept.at(-1) : undefined;
  return {
    entries: await readEntries(collections, kept),
    next: last === undefined ? undefined : plan.id === undefined ? [last.ms, last._id, last.version] : [last.version],
    total: plan.total ? pages.reduce((sum, { total }) => sum + total, 0) : undefined,
  };
}

/** Reads one entry more than `limit`. Current versions come from an index, past ones from the marks of the resources. */
async function readPage(
  { resource }: Collections,
  plan: HistoryPlan,
  scope: HistoryScope,
  timeLimitMs: number,
): Promise<ScopePage> {
  const limited = { maxTimeMS: timeLimitMs };
  const current = compileCurrent(plan, scope);
  const past = compilePast(plan, scope);
  const [keyset] = compileKeyset(plan, 'lastUpdatedMs', 'version');
  const isPage = plan.limit > 0;
  const stages = [...past, ...compilePastPage(plan)];
  const [currents, pasts, currentTotal, pastTotal] = await Promise.all([
    isPage
      ? resource
          .find(keyset === undefined ? current : { $and: [current, keyset] }, {
            projection: { version: 1, lastUpdatedMs: 1 },
            sort: newestFirst,
            limit: plan.limit + 1,
            ...limited,
          })
          .toArray()
      : [],
    isPage
      ? resource.aggregate<{ _id: string; marks: VersionMark }>(stages, { ...limited, allowDiskUse: true }).toArray()
      : [],
    plan.total ? resource.countDocuments(current, limited) : 0,
    plan.total ? resource.aggregate<{ entries: number }>([...past, { $count: 'entries' }], limited).toArray() : [],
  ]);
  return {
    versions: [
      ...currents.map(({ _id, version, lastUpdatedMs = 0 }) => ({ _id, version, ms: lastUpdatedMs })),
      ...pasts.map(({ _id, marks: { version, ms } }) => ({ _id, version, ms })),
    ],
    total: currentTotal + (pastTotal[0]?.entries ?? 0),
  };
}

async function readWhole(
  collections: Collections,
  plan: HistoryPlan,
  scope: HistoryScope,
  timeLimitMs: number,
): Promise<ScopePage> {
  const versions = await listVersions(collections, plan, scope, timeLimitMs);
  return { versions: versions.filter((version) => isAfter(version, plan)), total: versions.length };
}

function isAfter(entry: HistoryVersion, { id, after }: HistoryPlan): boolean {
  if (after === undefined) return true;
  if (id !== undefined) return entry.version < Number(after[0]);
  return byTime(entry, { ms: Number(after[0]), _id: String(after[1]), version: Number(after[2]) }) > 0;
}

function highestFirst(a: HistoryVersion, b: HistoryVersion): number {
  return b.version - a.version;
}

function byTime(a: HistoryVersion, b: HistoryVersion): number {
  return b.ms - a.ms || compareText(b._id, a._id) || highestFirst(a, b);
}

/** Reads the versions. They never change once written, so a later read returns the same. */
async function readEntries(
  { resource }: Collections,
  versions: readonly HistoryVersion[],
): Promise<readonly HistoryEntry[]> {
  if (versions.length === 0) return [];
  const keys = [...new Set(versions.map(({ _id }) => _id))];
  const found = await resource.find({ _id: { $in: keys } }, { projection: withVersions }).toArray();
  const byKey = new Map(found.map((document) => [document._id, document]));
  return versions.flatMap(({ _id, version }) => {
    const document = byKey.get(_id);
    const past = document === undefined ? undefined : findVersion(document, version);
    if (document === undefined || past === undefined) return [];
    const { type = '', id = '' } = document;
    const { lastUpdatedMs, method, body } = past;
    return [{ type, id, version, lastUpdatedMs, method, body }];
  });
}

function findVersion(document: ResourceDocument, version: number): PastVersion | undefined {
  if (document.version === version) return encodePastVersion(document);
  return document.versions?.find((past) => past.version === version);
}
