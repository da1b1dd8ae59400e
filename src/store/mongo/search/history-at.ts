/**
 * Selects the versions of a history with `_at`, where it depends on the following versions whether a version belongs into the
 * history. It reads the versions of one resource, or those that one authority may see, without their bodies.
 */
import type { HistoryPlan, HistoryScope } from '../../history.ts';
import type { Collections, ResourceDocument } from '../encoding/documents.ts';
import { compileOpened, compilePast, type HistoryPosition } from './compile-history.ts';

/** A version without its body. */
interface VersionMark {
  readonly version: number;
  readonly ms: number;
  readonly deleted: boolean;
}

type At = NonNullable<HistoryPlan['at']>;

/** Returns the versions of all pages, in no order. */
export async function listVersionsAt(
  { resource, version: past }: Pick<Collections, 'resource' | 'version'>,
  plan: HistoryPlan,
  at: At,
  scope: HistoryScope,
  timeLimitMs: number,
): Promise<readonly HistoryPosition[]> {
  const hint = plan.id === undefined ? {} : { hint: '_id_' };
  const options = { maxTimeMS: timeLimitMs, batchSize: 1_000, ...hint };
  const opened = new Map<
    string,
    { readonly key: string; readonly marks: VersionMark[]; readonly of: ResourceDocument }
  >();
  const current = { id: 1, version: 1, lastUpdatedMs: 1, deleted: 1, labels: 1, versionLabels: 1 };
  for await (const of of resource.find(compileOpened(plan, scope), { ...options, projection: current })) {
    opened.set(of.id ?? '', { key: of._id, marks: [], of });
  }
  const marks = { _id: 0, id: 1, version: 1, lastUpdatedMs: 1, deleted: 1 };
  for await (const found of past.find(compilePast(plan, scope), { ...options, projection: marks })) {
    const { id, version, lastUpdatedMs: ms, deleted } = found;
    opened.get(id)?.marks.push({ version, ms, deleted });
  }
  return [...opened.values()].flatMap(({ key, marks: ofPast, of }) => {
    const { version, lastUpdatedMs: ms = 0, deleted = false } = of;
    const visible = isShown(of, scope) ? [...ofPast, { version, ms, deleted }] : ofPast;
    const { sinceMs = Number.NEGATIVE_INFINITY } = plan;
    return selectAt(visible, at).flatMap((mark) =>
      mark.ms >= sinceMs ? [{ key, version: mark.version, ms: mark.ms }] : [],
    );
  });
}

/** Returns whether the current version belongs into the history. */
export function isShown(
  { labels: now = [], versionLabels = [] }: Pick<ResourceDocument, 'labels' | 'versionLabels'>,
  { now: visibleNow, written }: HistoryScope,
): boolean {
  return now.some((label) => visibleNow.includes(label)) || versionLabels.some((label) => written.includes(label));
}

function selectAt(visible: readonly VersionMark[], { startMs, endMs }: At): readonly VersionMark[] {
  // The version that was current at the start of the interval, and those written within it.
  const first = visible.reduce((most, { ms, version }) => (ms <= startMs ? Math.max(most, version) : most), 0);
  return visible.filter((mark) => mark.version >= first && mark.ms < endMs && (!mark.deleted || mark.ms >= startMs));
}
