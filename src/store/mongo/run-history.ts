/** Runs history plans: each scope by itself, then in one order. */
import { compareText } from '../../fhir/search/compare-text.ts';
import type { HistoryEntry, HistoryPlan, HistoryResult, HistoryScope } from '../history.ts';
import { compileHistory, compileHistoryPage } from './compile-history.ts';
import type { Collections, PastVersion, ResourceDocument } from './documents.ts';
import { encodePastVersion } from './encode-unit.ts';

/** `_id` is that of the resource. */
interface Told {
  readonly _id: string;
  readonly version: number;
  readonly ms: number;
}

export async function runHistory(
  collections: Collections,
  plan: HistoryPlan,
  timeLimitMs: number,
): Promise<HistoryResult> {
  const { resource } = collections;
  const scopes = plan.scopes.filter(({ now }) => now.length > 0);
  const options = { maxTimeMS: timeLimitMs, allowDiskUse: true };
  const count = async (scope: HistoryScope): Promise<number> => {
    const stages = [...compileHistory(plan, scope), { $group: { _id: null, entries: { $sum: 1 } } }];
    const [row] = await resource.aggregate<{ entries: number }>(stages, options).toArray();
    return row?.entries ?? 0;
  };
  const page = (scope: HistoryScope): Promise<Told[]> => {
    const stages = [...compileHistory(plan, scope), ...compileHistoryPage(plan)];
    return resource.aggregate<Told>(stages, options).toArray();
  };
  const [counts, pages] = await Promise.all([
    Promise.all(plan.total ? scopes.map(count) : []),
    Promise.all(plan.limit === 0 ? [] : scopes.map(page)),
  ]);
  const told = pages.flat().sort(plan.id === undefined ? newestFirst : highestFirst);
  const kept = told.slice(0, plan.limit);
  const last = told.length > plan.limit ? kept.at(-1) : undefined;
  return {
    entries: await readEntries(collections, kept),
    next: last === undefined ? undefined : plan.id === undefined ? [last.ms, last._id, last.version] : [last.version],
    total: plan.total ? counts.reduce((sum, entries) => sum + entries, 0) : undefined,
  };
}

function highestFirst(a: Told, b: Told): number {
  return b.version - a.version;
}

function newestFirst(a: Told, b: Told): number {
  return b.ms - a.ms || compareText(b._id, a._id) || highestFirst(a, b);
}

/** A version never changes once it is written. */
async function readEntries({ resource }: Collections, told: readonly Told[]): Promise<readonly HistoryEntry[]> {
  if (told.length === 0) return [];
  const keys = [...new Set(told.map(({ _id }) => _id))];
  const found = await resource.find({ _id: { $in: keys } }, { projection: { index: 0 } }).toArray();
  const byKey = new Map(found.map((document) => [document._id, document]));
  return told.flatMap(({ _id, version }) => {
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
