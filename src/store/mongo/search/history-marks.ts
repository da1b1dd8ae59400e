/**
 * Which versions of the resources of a scope are told, from their marks: of one resource, and at a moment, where it
 * depends on the versions that follow. What is read is of one resource, or of those that one authority may see.
 */
import type { HistoryPlan, HistoryScope } from '../../history.ts';
import type { Collections, ResourceDocument, VersionMark } from '../encoding/documents.ts';
import { compileOpened } from './compile-history.ts';

/** A version that is told; `_id` is that of the resource. */
export interface Told {
  readonly _id: string;
  readonly version: number;
  readonly ms: number;
}

/** All of them, over all pages, in no order. */
export async function tellAll(
  { resource }: Pick<Collections, 'resource'>,
  plan: HistoryPlan,
  scope: HistoryScope,
  timeLimitMs: number,
): Promise<readonly Told[]> {
  const projection = { version: 1, lastUpdatedMs: 1, deleted: 1, marks: 1 };
  const options = { projection, maxTimeMS: timeLimitMs, batchSize: 1_000 };
  const told: Told[] = [];
  for await (const document of resource.find(compileOpened(plan, scope), options)) {
    const { _id } = document;
    for (const { version, ms } of toldOf(document, plan, scope)) told.push({ _id, version, ms });
  }
  return told;
}

function toldOf(
  { version, lastUpdatedMs = 0, deleted = false, marks = [] }: ResourceDocument,
  { sinceMs = Number.NEGATIVE_INFINITY, at }: HistoryPlan,
  { written }: HistoryScope,
): readonly VersionMark[] {
  const past = marks.filter(({ labels }) => labels.some((label) => written.includes(label)));
  const told = [...past, { version, ms: lastUpdatedMs, deleted, labels: [] }];
  return (at === undefined ? told : toldAt(told, at)).filter(({ ms }) => ms >= sinceMs);
}

function toldAt(told: readonly VersionMark[], at: NonNullable<HistoryPlan['at']>): readonly VersionMark[] {
  const { startMs, endMs } = at;
  // Of what was there at the start only the last version; and what was written within.
  const first = Math.max(0, ...told.filter(({ ms }) => ms <= startMs).map((mark) => mark.version));
  return told.filter((mark) => mark.version >= first && mark.ms < endMs && (!mark.deleted || mark.ms >= startMs));
}
