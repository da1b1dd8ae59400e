/** What is owed to each authority: only AuditEvents that have undelivered deliveries are looked at. */
import type { Document } from 'mongodb';
import type { DeliveryBacklog, OwedDelivery } from '../store.ts';
import { elementOf, oldestFirst } from './apply-delivery.ts';
import type { Collections } from './documents.ts';
import type { ServerClock } from './server-clock.ts';

const owedStates = ['ready', 'waiting', 'leased'];
const has = (condition: Document, value: unknown): Document => ({ $cond: [condition, value, null] });
const isParked = { $eq: ['$deliveries.parked', true] };

const owedByAuthority: Document[] = [
  { $match: { undelivered: { $gt: 0 }, 'deliveries.state': { $in: owedStates } } },
  { $project: { recordedMs: 1, deliveries: 1 } },
  { $unwind: '$deliveries' },
  { $match: { 'deliveries.state': { $in: owedStates } } },
  {
    $group: {
      _id: '$deliveries.authority',
      undelivered: { $sum: 1 },
      leased: { $sum: { $cond: [{ $eq: ['$deliveries.state', 'leased'] }, 1, 0] } },
      parked: { $sum: { $cond: [isParked, 1, 0] } },
      oldestRecordedMs: { $min: has({ $not: [isParked] }, '$recordedMs') },
      oldestParkedMs: { $min: has(isParked, '$recordedMs') },
      nextDueMs: {
        $min: { $cond: [{ $eq: ['$deliveries.state', 'ready'] }, '$deliveries.dueMs', '$deliveries.waitUntilMs'] },
      },
    },
  },
];

type Owed = Readonly<Record<'undelivered' | 'leased' | 'parked', number>> &
  Readonly<Record<'oldestRecordedMs' | 'oldestParkedMs' | 'nextDueMs', number | null>> & { readonly _id: string };

/** One row for each authority that was ever owed a delivery. */
export async function readBacklog(
  { audit, deliveryCount }: Collections,
  clock: ServerClock,
  timeLimitMs: number,
): Promise<readonly DeliveryBacklog[]> {
  const limited = { maxTimeMS: timeLimitMs };
  const [owedRows, countRows] = await Promise.all([
    audit.aggregate<Owed>(owedByAuthority, limited).toArray(),
    deliveryCount.find({}, limited).toArray(),
  ]);
  const owed = new Map(owedRows.map((row) => [row._id, row]));
  const counts = new Map(countRows.map((row) => [row._id, row]));
  return [...new Set([...owed.keys(), ...counts.keys()])].sort().map((authority) => {
    const row = owed.get(authority);
    const count = counts.get(authority);
    return {
      authority,
      undelivered: row?.undelivered ?? 0,
      leased: row?.leased ?? 0,
      parked: row?.parked ?? 0,
      unwanted: count?.unwanted ?? 0,
      oldestRecordedMs: row?.oldestRecordedMs ?? undefined,
      oldestParkedMs: row?.oldestParkedMs ?? undefined,
      nextDueMs: typeof row?.nextDueMs === 'number' ? clock.toLocal(row.nextDueMs) : undefined,
      delivered: count?.delivered ?? 0,
    };
  });
}

/** The undelivered ones of an authority behind `after`, oldest first. */
export async function readOwed(
  { audit }: Collections,
  authority: string,
  limit: number,
  after: OwedDelivery | undefined,
): Promise<readonly OwedDelivery[]> {
  const { filter } = elementOf(authority, { state: { $in: owedStates } });
  const last = after === undefined ? null : await audit.findOne({ _id: { $eq: after.auditId } });
  const { recordedMs = 0 } = after ?? {};
  const behind = {
    $or: [{ recordedMs: { $gt: recordedMs } }, { recordedMs: { $eq: recordedMs }, seq: { $gt: last?.seq ?? '' } }],
  };
  const found = await audit
    .find(after === undefined ? filter : { $and: [filter, behind] }, {
      projection: { recordedMs: 1 },
      sort: oldestFirst,
      limit,
    })
    .toArray();
  return found.map((document) => ({ auditId: document._id, recordedMs: document.recordedMs }));
}

/** Authorities that have a delivery which could be claimed now, by the clock of the database. */
export async function readClaimable(
  { audit }: Collections,
  nowMs: number,
  timeLimitMs: number,
): Promise<readonly string[]> {
  const isDue = [
    { 'deliveries.state': { $eq: 'ready' }, 'deliveries.dueMs': { $lte: nowMs } },
    { 'deliveries.state': { $in: ['waiting', 'leased'] }, 'deliveries.waitUntilMs': { $lte: nowMs } },
  ];
  const stages = [
    { $match: { undelivered: { $gt: 0 }, 'deliveries.state': { $in: owedStates } } },
    { $project: { deliveries: 1 } },
    { $unwind: '$deliveries' },
    { $match: { $or: isDue } },
    { $group: { _id: '$deliveries.authority' } },
  ];
  const rows = await audit.aggregate<{ _id: string }>(stages, { maxTimeMS: timeLimitMs }).toArray();
  return rows.map(({ _id }) => _id);
}
