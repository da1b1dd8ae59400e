/** Breaches of the delivery limit. */
import type { DeliveryBreach } from '../../store.ts';
import { isDuplicateKey } from '../connection/mongo-failure.ts';
import type { Collections } from '../encoding/documents.ts';

/** Returns false if the breach is already recorded. */
export async function applyBreach({ breach }: Pick<Collections, 'breach'>, recorded: DeliveryBreach): Promise<boolean> {
  const { authority, kind, oldestRecordedMs, atMs, undelivered } = recorded;
  const _id = `${authority}/${kind}/${oldestRecordedMs}`;
  try {
    await breach.insertOne({ _id, authority, kind, oldestRecordedMs, atMs, undelivered });
    return true;
  } catch (error) {
    if (isDuplicateKey(error)) return false;
    throw error;
  }
}

/** Returns the latest breaches, newest first. */
export async function readBreaches(
  { breach }: Pick<Collections, 'breach'>,
  limit: number,
  authority: string | undefined,
): Promise<readonly DeliveryBreach[]> {
  const filter = authority === undefined ? {} : { authority: { $eq: authority } };
  const sort = { atMs: -1, _id: 1 } as const;
  return breach.find(filter, { projection: { _id: 0 }, sort, limit }).toArray();
}
