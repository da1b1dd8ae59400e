/** Hands undelivered deliveries over to another authority. The place of a delivery in its AuditEvent stays the same. */
import { atPlace, placeOf, setState, tallyPath, tallyText } from '../encoding/delivery-place.ts';
import type { AuditDocument, Collections, DeliveryDocument } from '../encoding/documents.ts';
import type { DeliveryCounts } from './delivery-counts.ts';

const undelivered: readonly DeliveryDocument['state'][] = ['ready', 'waiting', 'leased', 'unwanted'];
/** A delivery that is claimed, settled or requeued meanwhile is tried again. */
const maxTries = 10;

/** See `DeliveryQueue.handOver`. `nowMs` is by the clock of the database. */
export async function applyHandOver(
  { audit }: Pick<Collections, 'audit'>,
  counts: DeliveryCounts,
  from: string,
  to: string | undefined,
  auditIds: readonly string[],
  nowMs: number,
): Promise<readonly string[]> {
  const handed: string[] = [];
  for (const auditId of auditIds) {
    for (let tries = 0; tries < maxTries; tries++) {
      const found = await audit.findOne({ _id: { $eq: auditId } }, { projection: { deliveries: 1 } });
      const change = found === null ? undefined : compile(found, from, to, nowMs);
      if (change === undefined) break;
      const { filter, update, was, isHanded } = change;
      if ((await audit.updateOne(filter, update)).modifiedCount === 0) continue;
      counts.add(from, { [was]: -1 });
      if (isHanded && to !== undefined) {
        counts.add(to, { owed: 1 });
        handed.push(auditId);
      }
      break;
    }
  }
  return handed;
}

function compile(
  { _id, deliveries }: Pick<AuditDocument, '_id' | 'deliveries'>,
  from: string,
  to: string | undefined,
  nowMs: number,
) {
  const place = placeOf({ _id, deliveries }, from, ({ state }) => undelivered.includes(state));
  const before = place && deliveries[place.position];
  if (place === undefined || before === undefined) return undefined;
  const { position } = place;
  const was = before.state === 'unwanted' ? 'unwanted' : before.parked ? 'parked' : 'owed';
  const filter = {
    _id: { $eq: _id },
    ...atPlace(position, { authority: { $eq: from }, state: { $eq: before.state }, parked: { $eq: before.parked } }),
  };
  if (to === undefined || deliveries.some(({ authority }) => authority === to)) {
    const ended = setState(position, from, { state: 'passed' }, { tally: 'passed', leaseToken: null, parked: false });
    return { filter, update: { $set: ended, $inc: { undelivered: -1 } }, was, isHanded: false };
  }
  const fields = { leaseToken: null, dueMs: nowMs, attempts: 0, acknowledgedBy: [], parked: false, reason: null };
  const owed = {
    ...setState(position, to, { state: 'ready' }, fields),
    ...atPlace(position, { authority: to }),
    [tallyPath(position)]: tallyText('owed', to),
  };
  return { filter, update: { $set: owed }, was, isHanded: true };
}
