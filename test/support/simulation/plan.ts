import type { Random } from './random.ts';

export const secondMs = 1_000;
export const minuteMs = 60 * secondMs;
export const hourMs = 60 * minuteMs;

/** A fault of an endpoint. */
type Trouble = 'refuses-connections' | 'times-out' | 'status' | 'slow' | 'flaps' | 'loses-answers' | 'refuses-events';

export interface Interval {
  readonly fromMs: number;
  readonly toMs: number;
}

export interface EndpointTrouble extends Interval {
  readonly kind: Trouble;
  readonly status: number;
  readonly retryAfterMs: number | undefined;
}

export interface RequestedInterval extends Interval {
  readonly endpoint: number;
}

interface PlannedAuthority {
  readonly id: string;
  /** The faults of each Subscription's endpoint. */
  readonly endpoints: readonly (readonly EndpointTrouble[])[];
  /** When no Subscription is in use. */
  readonly off: readonly Interval[];
  /** When its Subscriptions match events of kind `a` only. */
  readonly narrow: readonly Interval[];
  /** When one of its Subscriptions has been changed and its endpoint is being verified. */
  readonly requested: readonly RequestedInterval[];
}

export interface PlannedEvent {
  readonly id: string;
  readonly authority: string;
  readonly kind: 'a' | 'b';
  readonly atMs: number;
  /** The response of its endpoints to this event until the end. */
  readonly poison: 'refuses' | 'fails' | 'hangs' | undefined;
  /** The endpoint that accepts it nevertheless. */
  readonly poisonSpares: number | undefined;
}

interface PlannedCrash {
  /** The step of the simulation after which it happens. */
  readonly atStep: number;
  readonly process: number;
  readonly downMs: number;
  /** A clean stop instead of a kill. */
  readonly clean: boolean;
}

interface ClockJump {
  readonly atMs: number;
  readonly byMs: number;
}

/** Everything that happens in one simulation, drawn from its seed. */
export interface SimulationPlan {
  readonly durationMs: number;
  readonly processes: 1 | 2;
  readonly authorities: readonly PlannedAuthority[];
  readonly events: readonly PlannedEvent[];
  readonly crashes: readonly PlannedCrash[];
  readonly storeTroubles: readonly Interval[];
  readonly clockJumps: readonly ClockJump[];
}

const troubles: readonly Trouble[] = [
  'refuses-connections',
  'times-out',
  'status',
  'slow',
  'flaps',
  'loses-answers',
  'refuses-events',
];

function drawInterval(random: Random, withinMs: number, longestMs: number): Interval {
  const fromMs = random.between(0, withinMs);
  return { fromMs, toMs: Math.min(withinMs, fromMs + random.between(secondMs, longestMs)) };
}

const several = <T>(random: Random, most: number, draw: () => T): T[] =>
  Array.from({ length: random.between(0, most) }, draw);

function drawTrouble(random: Random, durationMs: number): EndpointTrouble {
  const longestMs = random.chance(0.2) ? 25 * hourMs : random.pick([minuteMs, 20 * minuteMs, 3 * hourMs]);
  const retryAfterMs = random.chance(0.5) ? undefined : random.pick([0, secondMs, 10 * minuteMs, 1e15]);
  const status = random.pick([301, 401, 403, 404, 410, 429, 500, 502, 503]);
  return { ...drawInterval(random, durationMs, longestMs), kind: random.pick(troubles), status, retryAfterMs };
}

/** Draws a plan. */
export function drawPlan(random: Random): SimulationPlan {
  const durationMs = random.pick([hourMs, hourMs, 3 * hourMs, 3 * hourMs, 8 * hourMs, 27 * hourMs]);
  const ids = random.chance(0.5) ? ['A', 'B'] : ['A'];
  const authorities = ids.map((id) => {
    const count = random.chance(0.3) ? 2 : 1;
    return {
      id,
      endpoints: Array.from({ length: count }, () => several(random, 3, () => drawTrouble(random, durationMs))),
      off: random.chance(0.2) ? [drawInterval(random, durationMs, durationMs / 2)] : [],
      narrow: random.chance(0.2) ? [drawInterval(random, durationMs, durationMs)] : [],
      requested: several(random, random.chance(0.3) ? 2 : 0, () => ({
        ...drawInterval(random, durationMs, random.pick([secondMs, 40 * secondMs])),
        endpoint: random.between(0, count - 1),
      })),
    };
  });
  const poisonous = random.chance(0.3);
  const events = Array.from({ length: random.between(1, 24) }, (_, index) => ({
    id: `e${index}`,
    authority: random.pick(ids),
    kind: random.pick(['a', 'b'] as const),
    atMs: random.chance(0.3) ? 0 : random.between(0, durationMs),
    poison: poisonous && random.chance(0.2) ? random.pick(['refuses', 'fails', 'hangs'] as const) : undefined,
    poisonSpares: random.chance(0.5) ? 0 : undefined,
  }));
  const processes = random.chance(0.3) ? 2 : 1;
  return {
    durationMs,
    processes,
    authorities,
    events,
    crashes: several(random, 3, () => ({
      atStep: random.between(1, random.pick([30, 300, 2_000])),
      process: random.between(0, processes - 1),
      downMs: random.between(0, 2 * minuteMs),
      clean: random.chance(0.3),
    })),
    storeTroubles: random.chance(0.4) ? several(random, 2, () => drawInterval(random, durationMs, 5 * minuteMs)) : [],
    clockJumps: random.chance(0.3) ? several(random, 2, () => drawJump(random, durationMs)).flat() : [],
  };
}

/** Draws a step of the wall clock; half of them are reversed later. */
function drawJump(random: Random, durationMs: number): ClockJump[] {
  const byMs = random.pick([-24 * hourMs, -hourMs, -minuteMs, minuteMs, hourMs, 24 * hourMs]);
  const atMs = random.between(0, durationMs);
  const back = { atMs: atMs + random.pick([secondMs, minuteMs, 30 * minuteMs]), byMs: -byMs };
  return random.chance(0.5) ? [{ atMs, byMs }, back] : [{ atMs, byMs }];
}
