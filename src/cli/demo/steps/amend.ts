import { randomUUID } from 'node:crypto';
import { addMonths, londonDate } from '../../../cpis/london-date.ts';
import { actingAuthorityOf } from '../../../synthetic/audit-facts.ts';
import { buildFlag, type SyntheticPlan } from '../../../synthetic/synthetic-plan.ts';
import { waitFor } from '../../../synthetic/wait-for.ts';
import type { DemoChildren } from '../stage/demo-children.ts';
import type { Stage } from '../stage/stage.ts';
import { lookUp } from './look-up.ts';
import { arrivalOf } from './notifications.ts';

const arrivalLimitMs = 60_000;

/**
 * Amends and ends a plan on a child with plans of two authorities. The EPR must see it and the other authority be
 * notified.
 */
export async function amendAndEnd({ world, screen, check }: Stage, children: DemoChildren): Promise<void> {
  const [owner, other] = world.authorities;
  const [epr] = world.careProviders;
  const [plan] = children.sharedChild;

  async function put(changed: SyntheticPlan): Promise<{ readonly status: number; readonly requestId: string }> {
    const requestId = randomUUID();
    const criteria = new URLSearchParams({ identifier: `${changed.referenceSystem}|${changed.reference}` });
    const answer = await owner.client.request('PUT', `Flag?${criteria}`, buildFlag(changed), {
      'x-request-id': requestId,
    });
    return { status: answer.status, requestId };
  }
  async function read() {
    const { shown, requestId } = await lookUp(epr, plan.nhsNumber);
    const { start, end } = shown.find(({ authorityCode }) => authorityCode === owner.id)?.childProtectionPlan ?? {
      start: '',
      end: '',
    };
    return { start, end, requestId };
  }

  /** Counts the events about the owner's writes that reached the other authority. */
  const countMovements = (): number =>
    [...other.receiver.arrivals.values()].filter(({ event }) => actingAuthorityOf(event) === owner.id).length;

  const movementsBefore = countMovements();
  const today = londonDate(Date.now());
  const amendedStart = addMonths(plan.start, -1);
  const amended = await put({ ...plan, start: amendedStart });
  const afterAmendment = await read();
  const ended = await put({ ...plan, start: amendedStart, end: today });
  const afterEnd = await read();
  screen.table([
    [`${owner.name} amends the start`, `${plan.start} to ${amendedStart}`, `${amended.status}`],
    ['the EPR sees', `${afterAmendment.start}, ${afterAmendment.end === '' ? 'open' : afterAmendment.end}`, ''],
    [`${owner.name} ends the plan`, `inactive, end ${today}`, `${ended.status}`],
    ['the EPR sees', `${afterEnd.start}, ended ${afterEnd.end}`, ''],
  ]);
  check('the EPR saw the amended start at once', amended.status === 200 && afterAmendment.start === amendedStart);
  check('the EPR saw the end at once', ended.status === 200 && afterEnd.end === today);
  const notified = await waitFor(() => countMovements() - movementsBefore === 2, arrivalLimitMs);
  check(`${other.name}, which also holds a plan on this child, was notified of both`, notified);
  // A later event has reached the owner, so an event about its own writes would have arrived before it.
  const later = await waitFor(() => arrivalOf(owner, afterEnd.requestId) !== undefined, arrivalLimitMs);
  const notifiedItself = [amended, ended].some(({ requestId }) => arrivalOf(owner, requestId) !== undefined);
  check(`${owner.name} was not notified of its own changes`, later && !notifiedItself);
}
