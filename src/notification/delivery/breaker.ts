/**
 * The circuit breaker of one endpoint: a pure function of its responses and of time. While the endpoint responds,
 * everything is sent. After a failure nothing is sent until the next try, when one notification is sent as a probe. A
 * failed probe lengthens the wait as schedule.ts says; an acknowledgement ends it. Times are milliseconds of a clock
 * that wall-clock changes do not move.
 */
import { retryDelayMs } from '../outbound-http/schedule.ts';

export interface Breaker {
  /** Consecutive failures; attempts that ran in parallel count as one. */
  readonly failures: number;
  /** Time from which the next probe may be sent; without failures it has no meaning. */
  readonly retryAtMs: number;
  /** Grows with each counted failure: the result of an attempt that began before it is out of date. */
  readonly round: number;
  readonly throttled: boolean;
  /** A probe is in flight. */
  readonly probing: boolean;
  /** Distinct events refused, and distinct events failed, since the last acknowledgement; the latest last; bounded. */
  readonly refused: readonly string[];
  readonly failed: readonly string[];
}

/** What an attempt showed about its endpoint. */
export type EndpointAnswer =
  | { readonly kind: 'acknowledged' }
  /** It works, and refuses this event. */
  | { readonly kind: 'refused' }
  /** `retryAfterMs`: the wait that it asked for. `throttles`: it asked for fewer requests. */
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

/**
 * The breaker of an endpoint that another process has found failing: one probe is sent at once, and everything else
 * waits for its result.
 */
export const suspectBreaker: Breaker = { ...freshBreaker, failures: 1, round: 1 };

/**
 * Maximum distinct events that an endpoint may refuse, without acknowledging one, before the fault is taken to be its
 * own.
 */
export const maxRefused = 10;

/** Number of distinct failed events after which untried events also wait for the next probe. */
const failuresToBelieve = 3;
const maxRemembered = 64;

/** Returns the list with the event moved to its end, bounded to `most`. */
const add = (events: readonly string[], event: string, most: number): readonly string[] =>
  [...events.filter((other) => other !== event), event].slice(-most);

/**
 * Returns how recently the event failed or was refused since the last acknowledgement: a higher number is later; -1: it
 * did not.
 */
export function recencyOf({ refused, failed }: Breaker, event: string): number {
  return Math.max(failed.indexOf(event), refused.indexOf(event));
}

/**
 * Whether an untried event may be sent before the next probe: so few events have failed that the fault may be theirs.
 */
export function acceptsUntried({ failures, probing, throttled, refused, failed }: Breaker): boolean {
  return failures > 0 && !probing && !throttled && refused.length < maxRefused && failed.length < failuresToBelieve;
}

/**
 * Returns what the endpoint accepts at `atMs`: `open`: everything; `probe`: one notification; `closed`: nothing until
 * `retryAtMs` or the end of a probe. With an event: what it accepts of this one.
 */
export function stanceOf(breaker: Breaker, atMs: number, event?: string): 'open' | 'probe' | 'closed' {
  if (breaker.failures === 0) return 'open';
  if (!breaker.probing && breaker.retryAtMs <= atMs) return 'probe';
  return event !== undefined && acceptsUntried(breaker) && recencyOf(breaker, event) < 0 ? 'probe' : 'closed';
}

/** Records the start of an attempt. Keep the `round` of the result for `noteAttempt`. */
export function beginAttempt(breaker: Breaker): Breaker {
  return breaker.failures === 0 ? breaker : { ...breaker, probing: true };
}

/** The result of an attempt. */
export interface Attempt {
  /** The breaker's round when the attempt began. */
  readonly round: number;
  readonly event: string;
  readonly answer: EndpointAnswer;
  readonly atMs: number;
}

/** Returns the breaker after an attempt. `random` returns numbers in [0, 1). */
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
