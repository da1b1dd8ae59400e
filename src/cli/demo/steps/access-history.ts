import { professionalOf, searchAllEvents } from '../../../synthetic/audit-facts.ts';
import type { Stage } from '../stage/stage.ts';
import type { LookUp } from './look-up.ts';

const time = new Intl.DateTimeFormat('en-GB', { timeZone: 'Europe/London', dateStyle: 'short', timeStyle: 'medium' });

/** Shows the access history of a child as NHS staff see it. */
export async function showAccessHistory(stage: Stage, nhsNumber: string, lookUps: readonly LookUp[]): Promise<void> {
  const { world, screen, check } = stage;
  const [epr] = world.careProviders;
  const events = await searchAllEvents(epr.client, world.baseUrl, `patient=${nhsNumber}`);
  screen.note(`GET AuditEvent?patient=${nhsNumber}`);
  const rows = events.map((event) => {
    const { name, role, organisation } = professionalOf(event);
    return [time.format(new Date(event.recorded)), name, role, organisation];
  });
  screen.table(rows, ['time', 'professional', 'role', 'organisation']);
  const expected = lookUps
    .filter((read) => read.nhsNumber === nhsNumber)
    .map(({ careProvider }) => careProvider.professional);
  const named = events.map((event) => professionalOf(event).name).reverse();
  check(
    'the access history names each look-up: time, professional, role and organisation',
    JSON.stringify(named) === JSON.stringify(expected) && rows.flat().every((cell) => cell !== ''),
  );
}
