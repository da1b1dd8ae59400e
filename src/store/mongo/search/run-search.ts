/** Runs searches. Page and total are two queries: what is committed between them is in one of them only. */
import type { ClientSession } from 'mongodb';
import type { KeysetPosition, SearchPlan } from '../../../fhir/search/ast.ts';
import type { SearchResult, StoredResource } from '../../store.ts';
import type { AuditDocument, Collections } from '../encoding/documents.ts';
import { currentOnly, storedAudit, storedResource, withoutDeliveries } from '../read/read-resource.ts';
import { compileAuditSearch } from './compile-audit-search.ts';
import {
  compileFilter,
  compileSortedPage,
  compileUnsortedPage,
  type PlacedDocument,
  positionOf,
} from './compile-search.ts';

type Page = Pick<SearchResult, 'matches' | 'next'>;

const noPage: Page = { matches: [], next: undefined };

export async function runSearch(
  collections: Collections,
  plan: SearchPlan,
  timeLimitMs: number,
): Promise<SearchResult> {
  const isAudit = plan.type === 'AuditEvent';
  const limited = { maxTimeMS: timeLimitMs };
  const counting = !plan.total
    ? undefined
    : isAudit
      ? collections.audit.countDocuments(compileAuditSearch(plan).filter, limited)
      : collections.resource.countDocuments(compileFilter(plan), limited);
  const paging = plan.limit === 0 ? noPage : isAudit ? auditPage(collections, plan, timeLimitMs) : undefined;
  const [page, total] = await Promise.all([paging ?? resourcePage(collections, plan, timeLimitMs), counting]);
  return { ...page, total };
}

/** Returns the ids of at most two matches, as the transaction of the session sees them. */
export async function findTwoIds(
  { resource }: Collections,
  plan: SearchPlan,
  session: ClientSession,
): Promise<readonly string[]> {
  const options = { projection: { id: 1 }, sort: { id: 1 }, limit: 2, session } as const;
  const found = await resource.find(compileFilter(plan), options).toArray();
  return found.map(({ id = '' }) => id);
}

async function auditPage({ audit }: Collections, plan: SearchPlan, timeLimitMs: number): Promise<Page> {
  const { page, sort } = compileAuditSearch(plan);
  const options = { projection: withoutDeliveries, sort, limit: plan.limit + 1, maxTimeMS: timeLimitMs };
  const matches: StoredResource[] = [];
  let last: AuditDocument | undefined;
  let length = 0;
  for await (const document of audit.find(page, options)) {
    if (matches.length === plan.limit || length >= (plan.maxLength ?? Number.POSITIVE_INFINITY)) {
      return { matches, next: last === undefined ? undefined : [last.recordedMs, last.seq] };
    }
    const match = storedAudit(document);
    length += match.body.length;
    matches.push(match);
    last = document;
  }
  return { matches, next: undefined };
}

async function resourcePage(collections: Collections, plan: SearchPlan, timeLimitMs: number): Promise<Page> {
  if (plan.sort.length > 0) return sortedPage(collections, plan, timeLimitMs);
  const options = { projection: currentOnly, sort: { id: 1 }, limit: plan.limit + 1, maxTimeMS: timeLimitMs } as const;
  const found = await collections.resource.find(compileUnsortedPage(plan), options).toArray();
  return {
    matches: found.slice(0, plan.limit).map(storedResource),
    next: nextPosition(plan, found, ({ id = '' }) => [id]),
  };
}

async function sortedPage({ resource }: Collections, plan: SearchPlan, timeLimitMs: number): Promise<Page> {
  const limited = { maxTimeMS: timeLimitMs };
  const placed = await resource
    .aggregate<PlacedDocument>(compileSortedPage(plan), { ...limited, allowDiskUse: true })
    .toArray();
  const keys = placed.slice(0, plan.limit).map(({ _id }) => _id);
  // The whole filter is applied again, because a match may have lost its labels meanwhile and must then not be shown.
  const filter = { $and: [compileFilter(plan), { _id: { $in: keys } }] };
  const found = await resource.find(filter, { projection: currentOnly, ...limited }).toArray();
  const byKey = new Map(found.map((document) => [document._id, document]));
  return {
    matches: keys.flatMap((key) => byKey.get(key) ?? []).map(storedResource),
    next: nextPosition(plan, placed, (match) => positionOf(plan, match)),
  };
}

/** Returns the position of the last match of the page, if there is a further match. */
function nextPosition<T>(
  { limit }: SearchPlan,
  found: readonly T[],
  position: (match: T) => KeysetPosition,
): KeysetPosition | undefined {
  const last = found.length > limit ? found[limit - 1] : undefined;
  return last === undefined ? undefined : position(last);
}
