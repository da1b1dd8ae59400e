import { randomFillSync } from 'node:crypto';
import { v7 } from 'uuid';

const bytesPerId = 16;
const idsPerFill = 2_048;

/** Gives ids (UUID version 7) in the order of time. Random bytes are drawn for many ids at once: each draw has its price. */
export function buildTimeOrderedIds(): () => string {
  const pool = new Uint8Array(bytesPerId * idsPerFill);
  let used = pool.length;
  return () => {
    if (used === pool.length) {
      randomFillSync(pool);
      used = 0;
    }
    const random = pool.subarray(used, used + bytesPerId);
    used += bytesPerId;
    return v7({ random });
  };
}
