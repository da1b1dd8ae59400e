import { setTimeout as sleep } from 'node:timers/promises';
import { parseRetryAfter } from '../../notification/outbound-http/parse-retry-after.ts';

const firstDelayMs = 500;
const maxDelayMs = 60_000;
const maxRetryAfterMs = 300_000;

/** A failed attempt. */
export interface Failure {
  /** Plain text for the user; holds no value of the request. */
  readonly reason: string;
  /** `Retry-After`, in milliseconds from now. */
  readonly retryAfterMs?: number | undefined;
}

/** Thrown when no attempt succeeded in time. */
export class GaveUp extends Error {
  override readonly name = 'GaveUp';
}

/**
 * Repeats an attempt until it returns something other than a failure. The delay grows from 0.5 s to 60 s, with jitter,
 * and is at least the server's `Retry-After` (maximum 5 minutes). Rejects with GaveUp if the next attempt would begin
 * after `giveUpAfterMs`, and with the reason of `signal` if that is aborted.
 */
export async function withBackOff<T extends object>(
  attempt: () => Promise<T | Failure>,
  { giveUpAfterMs, signal, onWait }: BackOffOptions,
): Promise<Exclude<T, Failure>> {
  const startMs = performance.now();
  for (let failures = 0; ; failures += 1) {
    const outcome = await attempt();
    if (!isFailure(outcome)) return outcome as Exclude<T, Failure>;
    const stepMs = Math.min(maxDelayMs, firstDelayMs * 2 ** failures) * (0.5 + Math.random() / 2);
    const waitMs = Math.max(stepMs, Math.min(outcome.retryAfterMs ?? 0, maxRetryAfterMs));
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

/** Returns whether the same request may succeed later. */
export function isTransient(status: number): boolean {
  return status === 408 || status === 425 || status === 429 || status >= 500;
}

/** Builds the failure of a transient response. */
export function failureOf(response: Pick<Response, 'status' | 'headers'>): Failure {
  const retryAfterMs = parseRetryAfter(response.headers.get('retry-after') ?? undefined, Date.now());
  return { reason: `the server returned status ${response.status}`, retryAfterMs };
}
