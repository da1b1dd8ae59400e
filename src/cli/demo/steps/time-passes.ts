import type { AuditEvent, Bundle, Flag } from 'fhir/r4.js';
import { lastDayUnder18 } from '../../../cpis/life-cycle.ts';
import { addDays, addMonths, londonDate } from '../../../cpis/london-date.ts';
import { buildRecord } from '../../../synthetic/synthetic-plan.ts';
import { waitFor } from '../../../synthetic/wait-for.ts';
import type { DemoChildren } from '../stage/demo-children.ts';
import type { Stage } from '../stage/stage.ts';
import { type LaterWorld, visit } from '../stage/time-machine.ts';

const daysUntilBirthday = 10;
const sweepLimitMs = 60_000;

/** Returns the status and the end of each plan that the EPR sees. */
async function seenBy({ careProvider }: LaterWorld, nhsNumber: string): Promise<string> {
  const { body } = await careProvider.request<Bundle>('GET', `Flag?patient=${nhsNumber}`);
  const plans = (body.entry ?? []).flatMap(({ resource }) =>
    resource?.resourceType === 'Flag' ? [resource as Flag] : [],
  );
  return plans.map(({ status, period }) => [status, period?.end ?? []].flat().join(', ended ')).join('; ') || 'no plan';
}

/** Returns the codes of the events about the life cycle of the authority's plans. */
async function eventsOf({ authorities: [owner] }: LaterWorld): Promise<string[]> {
  const answer = await owner?.request<Bundle<AuditEvent>>('GET', 'AuditEvent?type=plan-life-cycle');
  return (answer?.body.entry ?? []).map(({ resource }) => resource?.subtype?.[0]?.code ?? '').sort();
}

/**
 * Lets time pass at the same server, on other data: a looked-after child becomes 18, and the last day of an unborn child's
 * plan passes. Nobody submits anything.
 */
export async function letTimePass(
  { world, screen, check }: Stage,
  { lookedAfterChild, mother }: DemoChildren,
): Promise<void> {
  const today = londonDate(Date.now());
  const birthDate = addMonths(addDays(today, daysUntilBirthday), -18 * 12);
  const lastDay = lastDayUnder18(birthDate);
  const birthday = addDays(lastDay, 1);
  const looked = { ...lookedAfterChild, birthDate, reference: 'CASE-0201' };
  const unborn = { ...mother, start: addDays(today, -200), dueDate: addDays(lastDay, -28), reference: 'CASE-0202' };
  const before = await visit(world, today, async (now) => {
    const entry = [looked, unborn].flatMap(buildRecord);
    await now.authorities[0]?.request('POST', '', { resourceType: 'Bundle', type: 'transaction', entry });
    return { child: await seenBy(now, looked.nhsNumber), unborn: await seenBy(now, unborn.nhsNumber) };
  });
  const after = await visit(world, birthday, async (later) => {
    const shown = { child: await seenBy(later, looked.nhsNumber), unborn: await seenBy(later, unborn.nhsNumber) };
    await waitFor(async () => (await eventsOf(later)).includes('no-longer-shown'), sweepLimitMs);
    return { ...shown, events: await eventsOf(later) };
  });
  screen.table(
    [
      ['looked-after child, 18 on this day', before.child, after.child],
      ["unborn child's plan, due 29 days before", before.unborn, after.unborn],
    ],
    ['the EPR sees', today, birthday],
  );
  check('the plan ended with the day before the 18th birthday', after.child === `inactive, ended ${lastDay}`);
  check("the unborn child's plan was shown, and is not from the 29th day", after.unborn === 'no plan');
  check('both were open before', before.child === 'active' && before.unborn === 'active');
  check('the authority was notified of both', `${after.events}` === 'ended,no-longer-shown', after.events.join(', '));
}
