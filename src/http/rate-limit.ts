import { networkOf } from '../net/address.ts';

interface RateLimitOptions {
  /** Tokens that each network gets back per second. */
  readonly perSecond: number;
  /** Maximum tokens of a network. */
  readonly burst: number;
  /** Maximum networks with a bucket of their own; any others share one. */
  readonly maxAddresses: number;
  /** Monotonic clock. */
  readonly nowMs: () => number;
}

interface RateLimit {
  /** Takes a token of the address's network. Returns false if none is left. */
  admit(address: string): boolean;
}

interface Bucket {
  left: number;
  atMs: number;
}

const shared = '';

/**
 * Builds a rate limit with one token bucket for each network: an IPv4 address, or the 64-bit prefix of an IPv6 address.
 */
export function buildRateLimit(options: RateLimitOptions): RateLimit {
  const { perSecond, burst, maxAddresses, nowMs } = options;
  // In order of use, the least recently used first.
  const buckets = new Map<string, Bucket>();

  const refilled = (bucket: Bucket, now: number): number =>
    Math.min(burst, bucket.left + ((now - bucket.atMs) / 1000) * perSecond);

  function hasRoom(now: number): boolean {
    if (buckets.size < maxAddresses) return true;
    const [oldest] = buckets;
    if (oldest === undefined || refilled(oldest[1], now) < burst) return false;
    buckets.delete(oldest[0]);
    return true;
  }

  return {
    admit(address) {
      const now = nowMs();
      const network = networkOf(address);
      const key = buckets.has(network) || hasRoom(now) ? network : shared;
      const known = buckets.get(key);
      const left = known === undefined ? burst : refilled(known, now);
      buckets.delete(key);
      buckets.set(key, { left: left < 1 ? left : left - 1, atMs: now });
      return left >= 1;
    },
  };
}
