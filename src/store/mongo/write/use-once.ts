/** Single-use keys. */
import { isDuplicateKey, mongoFailure } from '../connection/mongo-failure.ts';
import type { Collections } from '../encoding/documents.ts';

const purgeIntervalMs = 60_000;
/** Maximum number of keys that one use deletes, so that it does not wait for all that expired while no server ran. */
const maxPurged = 1_000;
/** Maximum clock difference at which no server deletes a key that another server still needs. */
const keptAfterExpiryMs = 300_000;

/** Builds `Store.useOnce`. */
export function openUseOnce(
  { usedOnce }: Pick<Collections, 'usedOnce'>,
  newToken: () => string,
): (key: string, expiresAtMs: number, nowMs: number) => Promise<boolean> {
  let purgedMs = Number.NEGATIVE_INFINITY;

  /** Deletes keys that expired before a time, and returns whether it has deleted all of them. */
  async function purge(beforeMs: number): Promise<boolean> {
    const options = { projection: { _id: 1 }, limit: maxPurged } as const;
    const expired = await usedOnce.find({ expiresAtMs: { $lt: beforeMs } }, options).toArray();
    const keys = expired.map(({ _id }) => _id);
    if (keys.length > 0) await usedOnce.deleteMany({ _id: { $in: keys }, expiresAtMs: { $lt: beforeMs } });
    return keys.length < maxPurged;
  }

  return async (key, expiresAtMs, nowMs) => {
    if (nowMs - purgedMs >= purgeIntervalMs) {
      const isWhole = await purge(nowMs - keptAfterExpiryMs);
      if (isWhole) purgedMs = nowMs;
    }
    const use = newToken();
    const insert = async (): Promise<boolean> => {
      try {
        await usedOnce.insertOne({ _id: key, expiresAtMs, use });
        return true;
      } catch (error) {
        if (!isDuplicateKey(error)) throw error;
        // The first try may have succeeded although its answer was lost.
        return (await usedOnce.findOne({ _id: { $eq: key } }))?.use === use;
      }
    };
    try {
      return await insert();
    } catch (error) {
      if (mongoFailure(error) !== 'unknown') throw error;
      return insert();
    }
  };
}
