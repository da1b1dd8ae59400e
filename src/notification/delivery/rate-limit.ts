/**
 * A token bucket: `perSecond` on average, and up to that many at once after a pause. A pure function of state and time.
 */
export interface RateLimit {
  readonly tokens: number;
  readonly atMs: number;
}

/** Returns a full bucket. `atMs` is of a clock that wall-clock changes do not move. */
export function fullRate(perSecond: number, atMs: number): RateLimit {
  return { tokens: perSecond, atMs };
}

function refill({ tokens, atMs }: RateLimit, perSecond: number, nowMs: number): RateLimit {
  return { tokens: Math.min(perSecond, tokens + ((nowMs - atMs) * perSecond) / 1000), atMs: nowMs };
}

/** Takes one token. If there is none, returns the milliseconds until there is one. */
export function takeToken(
  limit: RateLimit,
  perSecond: number,
  nowMs: number,
): { readonly limit: RateLimit; readonly waitMs: number } {
  const filled = refill(limit, perSecond, nowMs);
  if (filled.tokens >= 1) return { limit: { ...filled, tokens: filled.tokens - 1 }, waitMs: 0 };
  return { limit: filled, waitMs: Math.ceil(((1 - filled.tokens) * 1000) / perSecond) };
}
