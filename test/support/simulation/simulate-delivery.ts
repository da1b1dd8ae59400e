import type { UsableSubscription } from '../../../src/notification/subscriptions/usable-subscription.ts';
import { openMemoryDeliveries } from '../memory-deliveries.ts';
import { answerOf, promisedMs } from './endpoint.ts';
import {
  drawPlan,
  hourMs,
  type Interval,
  minuteMs,
  type PlannedEvent,
  type RequestedInterval,
  type SimulationPlan,
} from './plan.ts';
import { type SimulatedProcess, type SimulatedWorld, startProcess, stopWithinMs } from './process.ts';
import { seededRandom } from './random.ts';
import { openVirtualTime } from './virtual-time.ts';

export interface SimulationReport {
  /** Each says which promise was broken, and how; none: all were kept. */
  readonly broken: readonly string[];
  readonly steps: number;
  readonly requests: number;
  readonly plan: SimulationPlan;
}

const startMs = Date.parse('2026-11-20T09:00:00Z');
/** More than any plan needs, also where two servers live a day apart: beyond it something goes round and round. */
const maxSteps = 200_000;

const subscriptionIdOf = (authority: string, endpoint: number): string => `subscription-${authority}-${endpoint}`;
const takenAt = (event: string, endpoint: number): string => `${event} at ${endpoint}`;

const requestedOf = (
  { requested }: SimulationPlan['authorities'][number],
  endpoint: number,
): readonly RequestedInterval[] => requested.filter((one) => one.endpoint === endpoint);

const within = (intervals: readonly Interval[], atMs: number): boolean =>
  intervals.some(({ fromMs, toMs }) => atMs >= fromMs && atMs < toMs);

/**
 * Drives the real dispatcher through what the seed draws, and says what was broken of: nothing is lost (I2, I3), delivered
 * is what the owner's endpoint has taken (I4), nobody gets anything of another (I5), and whatever went on, within 22
 * minutes of quiet an endpoint that answers has everything that it was owed: so that 24 hours are kept with any such pause.
 */
export async function simulateDelivery(seed: number, plan = drawPlan(seededRandom(seed))): Promise<SimulationReport> {
  const random = seededRandom(seed ^ 0x5f37_59df);
  const broken: string[] = [];
  const deliveries = openMemoryDeliveries();
  const eventOf = new Map(plan.events.map((event) => [event.id, event]));
  /** By event and endpoint. */
  const taken = new Map<string, number>();
  /** The same for what the server was told: an answer may be lost, and the event taken all the same. */
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
      const at = takenAt(id, endpoint);
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
    // With one process the store knows at its opening that nobody else can hold a lease.
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
    // The process may die between the commit and the word of it.
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
    const places = endpointsOf(authority).map((_, endpoint) => takenAt(audit.id, endpoint));
    for (const at of places) {
      if (state === 'delivered' && !taken.has(at)) broken.push(`I4: ${authority} has never taken ${at}`);
    }
  }
  if (deliveries.rows().length !== plan.events.length) broken.push('I2: an event has no delivery');
  checkPromise();
  await checkBreaches();
  return { broken, steps: time.steps, requests, plan };

  function endpointsOf(authority: string): SimulationPlan['authorities'][number]['endpoints'] {
    return plan.authorities.find(({ id }) => id === authority)?.endpoints ?? [];
  }

  /**
   * For each endpoint the first 22 minutes without any trouble of its own after an event was recorded are enough, whatever
   * goes on at the other one.
   */
  function checkPromise(): void {
    for (const event of plan.events) {
      for (const endpoint of endpointsOf(event.authority).keys()) checkPromiseAt(event, endpoint);
    }
  }

  function checkPromiseAt({ id, authority, kind, poison, poisonSpares }: PlannedEvent, endpoint: number): void {
    const created = createdMs.get(id);
    if (created === undefined || (poison !== undefined && poisonSpares !== endpoint)) return;
    const planned = plan.authorities.find((one) => one.id === authority);
    const narrow = kind === 'b' ? (planned?.narrow ?? []) : [];
    const requested = planned === undefined ? [] : requestedOf(planned, endpoint);
    const own = [...(planned?.endpoints[endpoint] ?? []), ...requested];
    const troubles = [...unquiet, ...own, ...(planned?.off ?? []), ...narrow];
    // Each event that always fails may take one probe.
    const poisons = plan.events.filter((other) => other.authority === authority && other.poison !== undefined).length;
    const enoughMs = promisedMs + poisons * 17 * minuteMs;
    let quietMs = created;
    for (const { fromMs, toMs } of troubles.filter((one) => one.toMs > created).sort((a, b) => a.fromMs - b.fromMs)) {
      if (fromMs < quietMs + enoughMs) quietMs = Math.max(quietMs, toMs);
    }
    const byMs = Math.min(quietMs, healedMs) + enoughMs;
    const atMs = taken.get(takenAt(id, endpoint)) ?? Number.POSITIVE_INFINITY;
    if (atMs > byMs)
      broken.push(
        `24 h: ${takenAt(id, endpoint)} came at ${Math.round(atMs / 1000)} s, not by ${Math.round(byMs / 1000)} s`,
      );
  }

  /** What was really undelivered for a day is recorded as a breach, and nothing else is, wherever the clock jumps. */
  async function checkBreaches(): Promise<void> {
    // A process that starts anew knows nothing of the jumps before it.
    if (plan.crashes.length > 0 || plan.storeTroubles.length > 0) return;
    const ages = plan.events.map(({ id, kind, authority }) => {
      const isWanted = kind === 'a' || plan.authorities.find((one) => one.id === authority)?.narrow.length === 0;
      const places = [...endpointsOf(authority).keys()].map((endpoint) => acknowledged.get(takenAt(id, endpoint)));
      const ageMs = Math.max(...places.map((atMs) => atMs ?? time.elapsedMs)) - (createdMs.get(id) ?? 0);
      return { isWanted, ageMs };
    });
    const late = ages.some(({ isWanted, ageMs }) => isWanted && ageMs > 24 * hourMs + 10 * minuteMs);
    const recorded = await deliveries.breaches(9);
    if (late && recorded.length === 0) broken.push('a breach was not recorded');
    const early = ages.every(({ ageMs }) => ageMs < 24 * hourMs - 5 * minuteMs);
    if (early && recorded.length > 0) broken.push('a breach was recorded that was none');
  }
}
