import type { UsableSubscription } from '../../../src/notification/subscriptions/usable-subscription.ts';
import { openMemoryDeliveries } from '../memory-deliveries.ts';
import {
  endpointsOf,
  findLate,
  findWrongBreaches,
  placeOf,
  requestedOf,
  type SimulationRecord,
} from './check-promises.ts';
import { answerOf, promisedMs } from './endpoint.ts';
import { drawPlan, type Interval, minuteMs, type PlannedEvent, type SimulationPlan } from './plan.ts';
import { type SimulatedProcess, type SimulatedWorld, startProcess, stopWithinMs } from './process.ts';
import { seededRandom } from './random.ts';
import { openVirtualTime } from './virtual-time.ts';

export interface SimulationReport {
  /** The broken promises, and how each was broken. */
  readonly broken: readonly string[];
  readonly steps: number;
  readonly requests: number;
  readonly plan: SimulationPlan;
}

const startMs = Date.parse('2026-11-20T09:00:00Z');
/** More steps than any plan needs, also with two servers a day apart: the simulation is then in an endless loop. */
const maxSteps = 200_000;

const subscriptionIdOf = (authority: string, endpoint: number): string => `subscription-${authority}-${endpoint}`;

const within = (intervals: readonly Interval[], atMs: number): boolean =>
  intervals.some(({ fromMs, toMs }) => atMs >= fromMs && atMs < toMs);

/**
 * Runs the real dispatcher through the plan of a seed, and reports what was broken of these: nothing is lost (I2, I3);
 * a delivered event was accepted by the owner's endpoint (I4); no authority receives an event of another (I5); a
 * working endpoint has received everything it is owed within 22 minutes without faults, so that 24 hours are kept with
 * any such pause.
 */
export async function simulateDelivery(seed: number, plan = drawPlan(seededRandom(seed))): Promise<SimulationReport> {
  const random = seededRandom(seed ^ 0x5f37_59df);
  const broken: string[] = [];
  const deliveries = openMemoryDeliveries();
  const eventOf = new Map(plan.events.map((event) => [event.id, event]));
  /** When an endpoint first accepted an event. */
  const taken = new Map<string, number>();
  /** When the server first received the acknowledgement. */
  const acknowledged = new Map<string, number>();
  const createdMs = new Map<string, number>();
  const unquiet: Interval[] = [...plan.storeTroubles];
  const processes: (SimulatedProcess | undefined)[] = [];
  let healed = false;
  let cured = false;
  let wallOffsetMs = 0;
  let requests = 0;

  const time = openVirtualTime((step) => {
    for (const crash of plan.crashes) if (crash.atStep === step) fell(crash);
    if (step > maxSteps) throw new Error(`seed ${seed}: more than ${maxSteps} steps`);
  });

  const world: SimulatedWorld = {
    time,
    random,
    deliveries,
    storeFails: () => !healed && within(plan.storeTroubles, time.elapsedMs),
    wallMs: () => startMs + time.elapsedMs + wallOffsetMs,
    statuses: new Map(),
    usable: (authority) => usableOf(authority),
    receive: (url, body) => {
      requests += 1;
      const { id, owner } = JSON.parse(body);
      const authority = new URL(url).hostname.toUpperCase();
      if (owner !== authority) broken.push(`I5: ${authority} was sent ${id} of ${owner}`);
      const planned = plan.authorities.find((one) => one.id === authority);
      const event = eventOf.get(id);
      if (planned === undefined || event === undefined) throw new Error('an unknown event');
      const endpoint = Number(new URL(url).pathname.slice(1));
      const troubles = healed ? [] : (planned.endpoints[endpoint] ?? []);
      const poison = event.poisonSpares === endpoint ? undefined : event.poison;
      const answer = answerOf(troubles, poison, time.elapsedMs, random, cured);
      const at = placeOf(id, endpoint);
      if (answer.takes && !taken.has(at)) taken.set(at, time.elapsedMs);
      if (answer.result.kind === 'acknowledged' && !acknowledged.has(at)) acknowledged.set(at, time.elapsedMs);
      return answer;
    },
  };

  function statusOf(planned: SimulationPlan['authorities'][number], endpoint: number): UsableSubscription['status'] {
    if (!healed && within(requestedOf(planned, endpoint), time.elapsedMs)) return 'requested';
    return world.statuses.get(subscriptionIdOf(planned.id, endpoint)) ?? 'active';
  }

  function usableOf(id: string): readonly UsableSubscription[] {
    const planned = plan.authorities.find((one) => one.id === id);
    if (planned === undefined || (!healed && within(planned.off, time.elapsedMs))) return [];
    const narrow = !healed && within(planned.narrow, time.elapsedMs);
    return planned.endpoints.map((_, endpoint) => ({
      id: subscriptionIdOf(id, endpoint),
      status: statusOf(planned, endpoint),
      channel: {
        type: 'rest-hook',
        endpoint: `https://${id}/${endpoint}`,
        payload: 'application/fhir+json',
        headers: [],
      },
      owner: id,
      awaitsHandshake: false,
      method: 'POST',
      secrets: [],
      clauses: narrow ? [{ kind: 'label', any: ['a'] }] : [],
    }));
  }

  function start(index: number): void {
    // With one process the store knows, when it is opened, that nobody else can hold a lease.
    if (plan.processes === 1) deliveries.dropLeases();
    processes[index] = startProcess(world);
  }

  function fell({ process: index, downMs, clean }: SimulationPlan['crashes'][number]): void {
    const process = processes[index];
    if (process === undefined || healed) return;
    processes[index] = undefined;
    const again = (): void => {
      process.kill();
      time.after(downMs, () => start(index));
    };
    unquiet.push({ fromMs: time.elapsedMs, toMs: time.elapsedMs + downMs + stopWithinMs });
    if (!clean) {
      again();
      return;
    }
    let stopped = false;
    const stop = (): void => {
      if (!stopped) again();
      stopped = true;
    };
    void process.dispatcher.stop().then(stop);
    time.after(stopWithinMs, stop);
  }

  function create(event: PlannedEvent): void {
    const process = processes.find((one) => one !== undefined);
    if (process === undefined) {
      time.after(minuteMs, () => create(event));
      return;
    }
    const { id, authority, kind } = event;
    const body = JSON.stringify({ resourceType: 'AuditEvent', id, owner: authority, kind });
    const shape = {
      patients: [],
      agents: [],
      entities: [],
      type: '',
      subtype: '',
      action: '',
      outcome: '',
      labels: [],
    };
    deliveries.add([{ id, recordedMs: process.now(), body, ...shape, deliverTo: [authority] }]);
    createdMs.set(id, time.elapsedMs);
    // The process may die between the commit and the wake.
    if (random.chance(0.9)) process.dispatcher.wake(authority);
    else unquiet.push({ fromMs: time.elapsedMs, toMs: time.elapsedMs + 5 * minuteMs });
  }

  const changed = (authority: string): void => {
    for (const process of processes) process?.changed(authority);
  };
  for (const { id, off, narrow, requested } of plan.authorities) {
    for (const { fromMs, toMs } of [...off, ...narrow, ...requested]) {
      time.after(fromMs, () => changed(id));
      time.after(toMs, () => changed(id));
    }
  }
  for (const { atMs, byMs } of plan.clockJumps) {
    time.after(atMs, () => {
      wallOffsetMs += byMs;
    });
    unquiet.push({ fromMs: atMs, toMs: atMs + 3 * minuteMs });
  }
  for (const event of plan.events) time.after(event.atMs, () => create(event));
  for (let index = 0; index < plan.processes; index += 1) start(index);

  await time.runUntil(plan.durationMs);
  healed = true;
  const healedMs = time.elapsedMs;
  for (const { id } of plan.authorities) changed(id);
  const poisoned = new Set(plan.events.filter(({ poison }) => poison !== undefined).map(({ id }) => id));
  await time.runUntil(healedMs + promisedMs + (5 + 17 * poisoned.size) * minuteMs);
  for (const { audit, state } of deliveries.rows()) {
    if (state !== 'delivered' && !poisoned.has(audit.id)) broken.push(`I3: ${audit.id} is ${state} after all healed`);
  }
  cured = true;
  await time.runUntil(time.elapsedMs + promisedMs);

  for (const { audit, authority, state, lease } of deliveries.rows()) {
    if (state !== 'delivered') broken.push(`I3: ${audit.id} is ${state} at the end`);
    if (lease !== undefined) broken.push(`${audit.id} is leased at the end`);
    const places = endpointsOf(plan, authority).map((_, endpoint) => placeOf(audit.id, endpoint));
    for (const at of places) {
      if (state === 'delivered' && !taken.has(at)) broken.push(`I4: ${authority} has never taken ${at}`);
    }
  }
  if (deliveries.rows().length !== plan.events.length) broken.push('I2: an event has no delivery');
  const record: SimulationRecord = {
    ...{ plan, acceptedMs: taken, acknowledgedMs: acknowledged, createdMs, unquiet, healedMs },
    endMs: time.elapsedMs,
  };
  broken.push(...findLate(record), ...findWrongBreaches(record, (await deliveries.breaches(9)).length));
  return { broken, steps: time.steps, requests, plan };
}
