import { randomUUID } from 'node:crypto';
import { addMonths, londonDate } from '../../../cpis/london-date.ts';
import { actingAuthorityOf } from '../../../synthetic/audit-facts.ts';
import { buildFlag, type SyntheticPlan } from '../../../synthetic/synthetic-plan.ts';
import { waitFor } from '../../../synthetic/wait-for.ts';
import type { DemoChildren } from '../demo-children.ts';
import type { Stage } from '../stage.ts';
import { lookUp } from './look-up.ts';
import { arrivalOf } from './notifications.ts';

const arrivalLimitMs = 10_000;

/** One authority amends and ends its plan on the child that two hold plans on; the EPR sees it, the other one is told. */
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

  /** What reached the other authority of the owner's writes: who, what and when, and no request of its. */
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
  const told = await waitFor(() => countMovements() - movementsBefore === 2, arrivalLimitMs);
  check(`${other.name}, which holds a plan on the same child, was told of both`, told);
  // What came after the two writes has reached the owner: they themselves would have by now.
  const later = await waitFor(() => arrivalOf(owner, afterEnd.requestId) !== undefined, arrivalLimitMs);
  const toldItself = [amended, ended].some(({ requestId }) => arrivalOf(owner, requestId) !== undefined);
  check(`${owner.name} was not told of its own changes`, later && !toldItself);
}
