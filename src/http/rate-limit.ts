interface RateLimitOptions {
  /** Tokens that each key gets back per second. */
  readonly perSecond: number;
  /** Maximum tokens of a key. */
  readonly burst: number;
  /** Maximum keys with a bucket of their own; any others share one. */
  readonly maxKeys: number;
  /** Monotonic clock. */
  readonly nowMs: () => number;
}

/** A token bucket for each key: the network of an address, or a client. */
export interface RateLimit {
  /** Takes a token of the key. Returns false if none is left. */
  admit(key: string): boolean;
  /** Returns whether a token is left, and takes none. */
  hasLeft(key: string): boolean;
  /** Takes tokens that need not be left. What is owed delays the next request. */
  charge(key: string, tokens: number): void;
  /** Returns the whole seconds until a token is left; at least 1. */
  waitS(key: string): number;
}

interface Bucket {
  left: number;
  atMs: number;
}

const shared = '';

export function buildRateLimit(options: RateLimitOptions): RateLimit {
  const { perSecond, burst, maxKeys, nowMs } = options;
  // In order of use, the least recently used first.
  const buckets = new Map<string, Bucket>();

  const refilled = (bucket: Bucket, now: number): number =>
    Math.min(burst, bucket.left + ((now - bucket.atMs) / 1000) * perSecond);

  function hasRoom(now: number): boolean {
    if (buckets.size < maxKeys) return true;
    const [oldest] = buckets;
    if (oldest === undefined || refilled(oldest[1], now) < burst) return false;
    buckets.delete(oldest[0]);
    return true;
  }

  /** Returns the bucket that counts for a key, refilled and now the last used. */
  function bucketOf(key: string): Bucket {
    const now = nowMs();
    const own = buckets.has(key) || hasRoom(now) ? key : shared;
    const known = buckets.get(own);
    const bucket = { left: known === undefined ? burst : refilled(known, now), atMs: now };
    buckets.delete(own);
    buckets.set(own, bucket);
    return bucket;
  }

  return {
    admit(key) {
      const bucket = bucketOf(key);
      if (bucket.left < 1) return false;
      bucket.left -= 1;
      return true;
    },
    hasLeft: (key) => bucketOf(key).left >= 1,
    charge(key, tokens) {
      bucketOf(key).left -= tokens;
    },
    waitS: (key) => Math.max(1, Math.ceil((1 - bucketOf(key).left) / perSecond)),
  };
}
