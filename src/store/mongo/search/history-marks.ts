/**
 * Selects the versions of a history from the marks of the resources. This serves the history of one resource, and `_at`,
 * where it depends on the following versions whether a version belongs into the history. It reads one resource, or those that
 * one authority may see.
 */
import type { HistoryPlan, HistoryScope } from '../../history.ts';
import type { Collections, ResourceDocument, VersionMark } from '../encoding/documents.ts';
import { compileOpened } from './compile-history.ts';

/** Identifies a version in a history. `_id` is the one of the resource. */
export interface HistoryVersion {
  readonly _id: string;
  readonly version: number;
  readonly ms: number;
}

/** Returns the versions of all pages, in no order. */
export async function listVersions(
  { resource }: Pick<Collections, 'resource'>,
  plan: HistoryPlan,
  scope: HistoryScope,
  timeLimitMs: number,
): Promise<readonly HistoryVersion[]> {
  const projection = { version: 1, lastUpdatedMs: 1, deleted: 1, marks: 1, labels: 1, versionLabels: 1 };
  const options = { projection, maxTimeMS: timeLimitMs, batchSize: 1_000 };
  const versions: HistoryVersion[] = [];
  for await (const document of resource.find(compileOpened(plan, scope), options)) {
    const { _id } = document;
    for (const { version, ms } of selectMarks(document, plan, scope)) versions.push({ _id, version, ms });
  }
  return versions;
}

function selectMarks(
  { version, lastUpdatedMs = 0, deleted = false, marks = [], labels: now = [], versionLabels = [] }: ResourceDocument,
  { sinceMs = Number.NEGATIVE_INFINITY, at }: HistoryPlan,
  { now: visibleNow, written }: HistoryScope,
): readonly VersionMark[] {
  const isShown =
    now.some((label) => visibleNow.includes(label)) || versionLabels.some((label) => written.includes(label));
  const past = marks.filter(({ labels }) => labels.some((label) => written.includes(label)));
  const visible = isShown ? [...past, { version, ms: lastUpdatedMs, deleted, labels: [] }] : past;
  return (at === undefined ? visible : selectAt(visible, at)).filter(({ ms }) => ms >= sinceMs);
}

function selectAt(visible: readonly VersionMark[], at: NonNullable<HistoryPlan['at']>): readonly VersionMark[] {
  const { startMs, endMs } = at;
  // The version that was current at the start of the interval, and those written within it.
  const first = Math.max(0, ...visible.filter(({ ms }) => ms <= startMs).map((mark) => mark.version));
  return visible.filter((mark) => mark.version >= first && mark.ms < endMs && (!mark.deleted || mark.ms >= startMs));
}
