/**
 * Whether one endpoint may be sent to: a pure function of what it answered and of time. Closed (open to traffic) while it
 * answers. After a failure nothing goes until the next try, when one notification is let through as a probe; a failed probe
 * lengthens the wait as schedule.ts says, an acknowledgement ends it. Times are milliseconds of a clock that no change of
 * the wall clock moves.
 */
import { retryDelayMs } from './schedule.ts';

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
  /** Different events that were refused since the last acknowledgement, up to the bound. */
  readonly refused: readonly string[];
}

/** What an attempt told about its endpoint. */
export type EndpointAnswer =
  | { readonly kind: 'acknowledged' }
  /** It works, and refuses this one event. */
  | { readonly kind: 'refused'; readonly event: string }
  /** `retryAfterMs`: what it asked for. `throttles`: it asked for fewer requests. */
  | { readonly kind: 'failed'; readonly retryAfterMs: number | undefined; readonly throttles: boolean };

export const freshBreaker: Breaker = {
  failures: 0,
  retryAtMs: 0,
  round: 0,
  throttled: false,
  probing: false,
  refused: [],
};

/** An endpoint that refuses this many different events and acknowledges none is taken to fail, not the events. */
export const mostRefused = 10;

/** `open`: anything may go; `probe`: one notification may; `shut`: none, until `retryAtMs` or the end of a probe. */
export function stanceOf(breaker: Breaker, atMs: number): 'open' | 'probe' | 'shut' {
  if (breaker.failures === 0) return 'open';
  return !breaker.probing && breaker.retryAtMs <= atMs ? 'probe' : 'shut';
}

/** An attempt begins; its `round` belongs to its answer. */
export function beginAttempt(breaker: Breaker): Breaker {
  return breaker.failures === 0 ? breaker : { ...breaker, probing: true };
}

/** The endpoint after an answer to the attempt that had begun in `round`. `random` gives numbers in [0, 1). */
export function noteAnswer(
  breaker: Breaker,
  round: number,
  answer: EndpointAnswer,
  atMs: number,
  random: () => number,
): Breaker {
  if (answer.kind === 'failed') return fail(breaker, round, answer, atMs, random);
  if (answer.kind === 'refused') {
    const known = breaker.refused.includes(answer.event) || breaker.refused.length >= mostRefused;
    const refused = known ? breaker.refused : [...breaker.refused, answer.event];
    const before = { ...breaker, refused };
    if (refused.length < mostRefused) return answered(before, round);
    return fail(before, round, { kind: 'failed', retryAfterMs: undefined, throttles: false }, atMs, random);
  }
  return answered({ ...breaker, refused: [] }, round);
}

function answered(breaker: Breaker, round: number): Breaker {
  if (round < breaker.round && breaker.throttled) return breaker;
  return { ...freshBreaker, round: breaker.round, refused: breaker.refused };
}

function fail(
  breaker: Breaker,
  round: number,
  { retryAfterMs, throttles }: Extract<EndpointAnswer, { kind: 'failed' }>,
  atMs: number,
  random: () => number,
): Breaker {
  if (round < breaker.round) return breaker;
  const failures = breaker.failures + 1;
  return {
    failures,
    retryAtMs: atMs + retryDelayMs(failures, random, retryAfterMs),
    round: breaker.round + 1,
    throttled: throttles || retryAfterMs !== undefined,
    probing: false,
    refused: breaker.refused,
  };
}
