import { setTimeout as sleep } from 'node:timers/promises';
import { parseRetryAfter } from '../notification/outbound-http/parse-retry-after.ts';

const firstMs = 500;
const longestMs = 60_000;
const longestAskedMs = 300_000;

/** What a failed attempt tells the next one. */
export interface Failure {
  /** In words, without a value of the request. */
  readonly reason: string;
  /** `Retry-After`, in milliseconds from now. */
  readonly retryAfterMs?: number | undefined;
}

/** Nothing came of it in the time that there was. */
export class GaveUp extends Error {
  override readonly name = 'GaveUp';
}

/**
 * Tries until an attempt gives something else than a failure: after 0.5 s, 1 s, 2 s ... 60 s, jittered, and never sooner than
 * the server asks (5 min at most). Throws GaveUp when the next attempt would begin after `giveUpAfterMs`; rejects with the reason
 * of `signal` when that is aborted.
 */
export async function withBackOff<T extends object>(
  attempt: () => Promise<T | Failure>,
  { giveUpAfterMs, signal, onWait }: BackOffOptions,
): Promise<Exclude<T, Failure>> {
  const startMs = performance.now();
  for (let failures = 0; ; failures += 1) {
    const outcome = await attempt();
    if (!isFailure(outcome)) return outcome as Exclude<T, Failure>;
    const stepMs = Math.min(longestMs, firstMs * 2 ** failures) * (0.5 + Math.random() / 2);
    const waitMs = Math.max(stepMs, Math.min(outcome.retryAfterMs ?? 0, longestAskedMs));
    if (performance.now() - startMs + waitMs > giveUpAfterMs) throw new GaveUp(outcome.reason);
    onWait?.(outcome.reason, waitMs);
    await sleep(waitMs, undefined, { signal });
  }
}

export interface BackOffOptions {
  readonly giveUpAfterMs: number;
  readonly signal: AbortSignal;
  readonly onWait?: (reason: string, waitMs: number) => void;
}

const isFailure = (outcome: object): outcome is Failure => 'reason' in outcome;

/** Whether the same request may be answered otherwise later. */
export function isTransient(status: number): boolean {
  return status === 408 || status === 425 || status === 429 || status >= 500;
}

/** The failure of an answer. */
export function failureOf(response: Pick<Response, 'status' | 'headers'>): Failure {
  const retryAfterMs = parseRetryAfter(response.headers.get('retry-after') ?? undefined, Date.now());
  return { reason: `the server answered ${response.status}`, retryAfterMs };
}
