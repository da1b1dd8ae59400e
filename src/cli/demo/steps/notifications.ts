import { custodiansOf, professionalOf, requestIdOf } from '../../../synthetic/audit-facts.ts';
import type { Arrival } from '../../../synthetic/receiver-process.ts';
import { waitFor } from '../../../synthetic/wait-for.ts';
import type { DemoWorld } from '../stage/demo-world.ts';
import type { Stage } from '../stage/stage.ts';
import type { LookUp } from './look-up.ts';

const arrivalLimitMs = 60_000;

/** Returns the event about a request that reached an authority, if any. */
export function arrivalOf(authority: DemoWorld['authorities'][number], requestId: string): Arrival | undefined {
  for (const arrival of authority.receiver.arrivals.values()) {
    if (requestIdOf(arrival.event) === requestId) return arrival;
  }
  return undefined;
}

/** Counts the events that reached an authority without a plan on the child. */
export function countStrayArrivals(world: DemoWorld): number {
  return world.authorities
    .flatMap(({ id, receiver }) => [...receiver.arrivals.values()].map(({ event }) => custodiansOf(event).includes(id)))
    .filter((isOwn) => !isOwn).length;
}

/** Shows the notifications of the look-ups and how long after the response each arrived. */
export async function showNotifications({ world, screen, check }: Stage, lookUps: readonly LookUp[]): Promise<void> {
  const owed = lookUps.flatMap(({ shown, ...read }) =>
    shown.flatMap(({ authorityCode }) =>
      world.authorities.filter(({ id }) => id === authorityCode).map((authority) => ({ authority, ...read })),
    ),
  );
  const all = await waitFor(
    () => owed.every(({ authority, requestId }) => arrivalOf(authority, requestId) !== undefined),
    arrivalLimitMs,
  );
  const rows = owed.map(({ authority, requestId, nhsNumber, answeredMs }) => {
    const arrival = arrivalOf(authority, requestId);
    if (arrival === undefined) return [authority.name, nhsNumber, 'nothing arrived'];
    const { name, organisation } = professionalOf(arrival.event);
    const afterMs = arrival.atMs - answeredMs;
    return [authority.name, nhsNumber, `${name}, ${organisation}`, `${afterMs < 0 ? '' : '+'}${afterMs.toFixed(1)} ms`];
  });
  screen.table(rows, ['notified', 'about', 'looked up by', 'after the response']);
  check('every authority with a plan on the child was notified of each look-up', all && rows.length === owed.length);
  const silent = lookUps.filter(({ shown }) => shown.length === 0);
  const notified = silent.some(({ requestId }) =>
    world.authorities.some((authority) => arrivalOf(authority, requestId)),
  );
  check('no other authority was notified', !notified && countStrayArrivals(world) === 0);
}
