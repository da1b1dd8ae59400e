import { promisedMs } from './endpoint.ts';
import {
  hourMs,
  type Interval,
  minuteMs,
  type PlannedEvent,
  type RequestedInterval,
  type SimulationPlan,
} from './plan.ts';

/** What happened in one simulation. Times are milliseconds since its start; keys are those of `placeOf`. */
export interface SimulationRecord {
  readonly plan: SimulationPlan;
  /** When an endpoint first accepted an event. */
  readonly acceptedMs: ReadonlyMap<string, number>;
  /** When the server first received the acknowledgement. The response of an accepted event may be lost. */
  readonly acknowledgedMs: ReadonlyMap<string, number>;
  /** By event. */
  readonly createdMs: ReadonlyMap<string, number>;
  /** When something other than an endpoint was at fault. */
  readonly unquiet: readonly Interval[];
  /** When all faults ended. */
  readonly healedMs: number;
  readonly endMs: number;
}

export const placeOf = (event: string, endpoint: number): string => `${event} at ${endpoint}`;

export const requestedOf = (
  { requested }: SimulationPlan['authorities'][number],
  endpoint: number,
): readonly RequestedInterval[] => requested.filter((one) => one.endpoint === endpoint);

export function endpointsOf(
  { authorities }: SimulationPlan,
  authority: string,
): SimulationPlan['authorities'][number]['endpoints'] {
  return authorities.find(({ id }) => id === authority)?.endpoints ?? [];
}

/**
 * Returns the events that came late: for each endpoint the first 22 minutes without a fault of its own must be enough,
 * whatever happens at the other one.
 */
export function findLate(record: SimulationRecord): string[] {
  return record.plan.events.flatMap((event) =>
    [...endpointsOf(record.plan, event.authority).keys()].flatMap((endpoint) => findLateAt(record, event, endpoint)),
  );
}

function findLateAt(
  { plan, acceptedMs, createdMs, unquiet, healedMs }: SimulationRecord,
  { id, authority, kind, poison, poisonSpares }: PlannedEvent,
  endpoint: number,
): string[] {
  const created = createdMs.get(id);
  if (created === undefined || (poison !== undefined && poisonSpares !== endpoint)) return [];
  const planned = plan.authorities.find((one) => one.id === authority);
  const narrow = kind === 'b' ? (planned?.narrow ?? []) : [];
  const requested = planned === undefined ? [] : requestedOf(planned, endpoint);
  const own = [...(planned?.endpoints[endpoint] ?? []), ...requested];
  const troubles = [...unquiet, ...own, ...(planned?.off ?? []), ...narrow];
  // Each event that always fails may use up one probe.
  const poisons = plan.events.filter((other) => other.authority === authority && other.poison !== undefined).length;
  const enoughMs = promisedMs + poisons * 17 * minuteMs;
  let quietMs = created;
  for (const { fromMs, toMs } of troubles.filter((one) => one.toMs > created).sort((a, b) => a.fromMs - b.fromMs)) {
    if (fromMs < quietMs + enoughMs) quietMs = Math.max(quietMs, toMs);
  }
  const place = placeOf(id, endpoint);
  const byMs = Math.min(quietMs, healedMs) + enoughMs;
  const atMs = acceptedMs.get(place) ?? Number.POSITIVE_INFINITY;
  if (atMs <= byMs) return [];
  return [`24 h: ${place} came at ${Math.round(atMs / 1000)} s, not by ${Math.round(byMs / 1000)} s`];
}

/** Checks that an event that was undelivered for a day of real time is recorded as a breach, and no other is. */
export function findWrongBreaches(record: SimulationRecord, recorded: number): string[] {
  const { plan, acknowledgedMs, createdMs, endMs } = record;
  // A new process knows nothing of the clock jumps before it.
  if (plan.crashes.length > 0 || plan.storeTroubles.length > 0) return [];
  const ages = plan.events.map(({ id, kind, authority }) => {
    const isMatched = kind === 'a' || plan.authorities.find((one) => one.id === authority)?.narrow.length === 0;
    const places = [...endpointsOf(plan, authority).keys()].map((endpoint) =>
      acknowledgedMs.get(placeOf(id, endpoint)),
    );
    const ageMs = Math.max(...places.map((atMs) => atMs ?? endMs)) - (createdMs.get(id) ?? 0);
    return { isMatched, ageMs };
  });
  const isLate = ages.some(({ isMatched, ageMs }) => isMatched && ageMs > 24 * hourMs + 10 * minuteMs);
  if (isLate && recorded === 0) return ['a breach was not recorded'];
  const isEarly = ages.every(({ ageMs }) => ageMs < 24 * hourMs - 5 * minuteMs);
  return isEarly && recorded > 0 ? ['a breach was recorded without reason'] : [];
}
