/**
 * Whether one endpoint may be sent to: a pure function of what it answered and of time. Closed (open to traffic) while it
 * answers. After a failure nothing goes until the next try, when one notification is let through as a probe; a failed probe
 * lengthens the wait as schedule.ts says, an acknowledgement ends it. Times are milliseconds of a clock that no change of
 * the wall clock moves.
 */
import { retryDelayMs } from '../outbound-http/schedule.ts';

export interface Breaker {
  /** Failures in a row; attempts that ran side by side count as one. */
  readonly failures: number;
  /** When the next probe may go; of no meaning without failures. */
  readonly retryAtMs: number;
  /** Grows at each counted failure: attempts that had begun before it say nothing new about the endpoint. */
  readonly round: number;
  readonly throttled: boolean;
  /** A probe is under way. */
  readonly probing: boolean;
  /** Different events that were refused, and that failed, since the last acknowledgement, the latest last; bounded. */
  readonly refused: readonly string[];
  readonly failed: readonly string[];
}

/** What an attempt told about its endpoint. */
export type EndpointAnswer =
  | { readonly kind: 'acknowledged' }
  /** It works, and refuses this one event. */
  | { readonly kind: 'refused' }
  /** `retryAfterMs`: what it asked for. `throttles`: it asked for fewer requests. */
  | { readonly kind: 'failed'; readonly retryAfterMs: number | undefined; readonly throttles: boolean };

export const freshBreaker: Breaker = {
  failures: 0,
  retryAtMs: 0,
  round: 0,
  throttled: false,
  probing: false,
  refused: [],
  failed: [],
};

/** For an endpoint that is known to fail from elsewhere: one probe may go at once, and the others wait for what it tells. */
export const suspectBreaker: Breaker = { ...freshBreaker, failures: 1, round: 1 };

/** An endpoint that refuses this many different events and acknowledges none is taken to fail, not the events. */
export const maxRefused = 10;

/** So many different events have to fail before one that has not failed waits for the time of the next probe. */
const failuresToBelieve = 3;
const maxRemembered = 64;

/** The event as the last of them. */
const add = (events: readonly string[], event: string, most: number): readonly string[] =>
  [...events.filter((other) => other !== event), event].slice(-most);

/** How recently the event has failed or was refused since the last acknowledgement; -1: not at all. */
export function recencyOf({ refused, failed }: Breaker, event: string): number {
  return Math.max(failed.indexOf(event), refused.indexOf(event));
}

/** Too few events have failed to tell the endpoint's fault from theirs: another one may be tried at once. */
export function acceptsUntried({ failures, probing, throttled, refused, failed }: Breaker): boolean {
  return failures > 0 && !probing && !throttled && refused.length < maxRefused && failed.length < failuresToBelieve;
}

/**
 * `open`: anything may go; `probe`: one notification may; `shut`: none, until `retryAtMs` or the end of a probe. With an
 * event: whether this one may.
 */
export function stanceOf(breaker: Breaker, atMs: number, event?: string): 'open' | 'probe' | 'closed' {
  if (breaker.failures === 0) return 'open';
  if (!breaker.probing && breaker.retryAtMs <= atMs) return 'probe';
  return event !== undefined && acceptsUntried(breaker) && recencyOf(breaker, event) < 0 ? 'probe' : 'closed';
}

/** An attempt begins; its `round` belongs to its answer. */
export function beginAttempt(breaker: Breaker): Breaker {
  return breaker.failures === 0 ? breaker : { ...breaker, probing: true };
}

/** What an attempt came to. */
export interface Attempt {
  /** The breaker's when it began. */
  readonly round: number;
  readonly event: string;
  readonly answer: EndpointAnswer;
  readonly atMs: number;
}

/** The endpoint after an attempt. `random` gives numbers in [0, 1). */
export function noteAttempt(breaker: Breaker, attempt: Attempt, random: () => number): Breaker {
  const { round, event, answer } = attempt;
  if (answer.kind === 'acknowledged') return answered({ ...breaker, refused: [], failed: [] }, round);
  if (answer.kind === 'failed') return fail(breaker, attempt, answer, random);
  const before = { ...breaker, refused: add(breaker.refused, event, maxRefused) };
  if (before.refused.length < maxRefused) return answered(before, round);
  return fail(before, attempt, { retryAfterMs: undefined, throttles: false }, random);
}

function answered(breaker: Breaker, round: number): Breaker {
  if (round < breaker.round && breaker.throttled) return breaker;
  return { ...breaker, failures: 0, retryAtMs: 0, throttled: false, probing: false };
}

function fail(
  breaker: Breaker,
  { round, event, atMs }: Attempt,
  { retryAfterMs, throttles }: Omit<Extract<EndpointAnswer, { kind: 'failed' }>, 'kind'>,
  random: () => number,
): Breaker {
  const failed = add(breaker.failed, event, maxRemembered);
  if (round < breaker.round) return { ...breaker, failed };
  const failures = breaker.failures + 1;
  return {
    failures,
    retryAtMs: atMs + retryDelayMs(failures, random, retryAfterMs),
    round: breaker.round + 1,
    throttled: throttles || retryAfterMs !== undefined,
    probing: false,
    refused: breaker.refused,
    failed,
  };
}
