interface RateLimitOptions {
  /** How fast an address regains what it has spent. */
  readonly perSecond: number;
  /** What an address may spend at once. */
  readonly burst: number;
  /** Addresses that are kept apart; the ones above it share one budget while all of these are in use. */
  readonly maxAddresses: number;
  /** Milliseconds that never go backwards. */
  readonly nowMs: () => number;
}

interface RateLimit {
  /** Spends one of the address; false when it has none left. */
  spend(address: string): boolean;
}

interface Bucket {
  left: number;
  atMs: number;
}

const shared = '';

/** A token bucket for each network address, an IPv6 network of 64 bits counting as one. */
export function buildRateLimit(options: RateLimitOptions): RateLimit {
  const { perSecond, burst, maxAddresses, nowMs } = options;
  // The one that was used longest ago comes first.
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
    spend(address) {
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

/** The first 64 bits of an IPv6 address; an IPv4 address, mapped into IPv6 or not, as it is. */
function networkOf(address: string): string {
  if (!address.includes(':')) return address;
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(address)?.[1];
  if (mapped !== undefined) return mapped;
  const [head = '', tail] = address.toLowerCase().split('::');
  const left = head === '' ? [] : head.split(':');
  const right = tail === undefined || tail === '' ? [] : tail.split(':');
  const zeros = new Array<string>(Math.max(0, 8 - left.length - right.length)).fill('0');
  return [...left, ...(tail === undefined ? [] : zeros), ...right].slice(0, 4).join(':');
}
