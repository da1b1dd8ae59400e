/** Single-use keys. */
import { isDuplicateKey, mongoFailure } from '../connection/mongo-failure.ts';
import type { Collections } from '../encoding/documents.ts';

const purgeIntervalMs = 60_000;
/** Maximum clock difference at which no server deletes a key that another server still needs. */
const keptAfterExpiryMs = 300_000;

/** Builds `Store.useOnce`. */
export function openUseOnce(
  { usedOnce }: Pick<Collections, 'usedOnce'>,
  newToken: () => string,
): (key: string, expiresAtMs: number, nowMs: number) => Promise<boolean> {
  let purgedMs = Number.NEGATIVE_INFINITY;
  return async (key, expiresAtMs, nowMs) => {
    if (nowMs - purgedMs >= purgeIntervalMs) {
      purgedMs = nowMs;
      await usedOnce.deleteMany({ expiresAtMs: { $lt: nowMs - keptAfterExpiryMs } });
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
