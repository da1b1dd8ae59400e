import { authorise } from '../../cpis/access-policy.ts';
import { formerLabel, formersOf, ownerLabel, ownerOf } from '../../cpis/labels.ts';
import { londonDate } from '../../cpis/london-date.ts';
import { parsePlan } from '../../cpis/plan.ts';
import { FhirFault, fault } from '../../fhir/fault.ts';
import type { SearchClause } from '../../fhir/search/ast.ts';
import type { StoredResource } from '../../store/store.ts';
import { plainAccess, recordAccess } from '../audit/record-access.ts';
import type { AccessContext, FhirAnswer, FhirRequest } from '../port/interaction.ts';
import type { InteractionPorts } from '../port/ports.ts';
import { searchFlagsOf } from '../resource/view.ts';
import { runGroups } from '../yielding/run-groups.ts';
import { passDeliveriesOf } from './pass-deliveries.ts';
import { assessPlan, transferPlan } from './transfer-plan.ts';
import { maxInStep, readTransferStep, type TransferStep } from './transfer-request.ts';

/** Children whose plans pass at the same time. Their commits share the writes of the store. */
const concurrency = 16;

/** The plans of one child that `from` holds. */
interface ChildPlans {
  readonly patientId: string;
  readonly flags: readonly StoredResource[];
}

interface FoundPlans {
  readonly children: readonly ChildPlans[];
  /** Numbers of the list on which `from` holds no plan, and held none. */
  readonly withoutPlan: number;
  /** Plans of the list that the successor took over before. */
  readonly before: number;
  /** Where the next step begins; undefined after the last. */
  readonly next: string | undefined;
}

/** Returns the plans on a list of NHS numbers. */
async function findListed(
  numbers: readonly string[],
  { from, to }: TransferStep,
  { store }: InteractionPorts,
): Promise<FoundPlans> {
  const children: ChildPlans[] = [];
  let withoutPlan = 0;
  let before = 0;
  for (const patientId of numbers) {
    const all = await searchFlagsOf(store, [patientId]);
    const flags = all.filter(({ labels }) => ownerOf(labels) === from);
    const passed = all.filter(({ labels }) => formersOf(labels).includes(from));
    before += passed.filter(({ labels }) => ownerOf(labels) === to).length;
    if (flags.length + passed.length === 0) withoutPlan += 1;
    children.push({ patientId, flags });
  }
  return { children, withoutPlan, before, next: undefined };
}

/** Returns the next plans of all that `from` holds. */
async function findNext({ from, after }: TransferStep, { store }: InteractionPorts): Promise<FoundPlans> {
  const page = await store.search({
    type: 'Flag',
    clauses: [{ kind: 'label', any: [ownerLabel(from)] }],
    sort: [],
    limit: maxInStep,
    total: false,
    ...(after === undefined ? {} : { after: [after] }),
  });
  const byChild = Map.groupBy(page.matches, (flag) => parsePlan(flag).patientId);
  const children = [...byChild].map(([patientId, flags]) => ({ patientId, flags }));
  return { children, withoutPlan: 0, before: 0, next: page.next === undefined ? undefined : page.matches.at(-1)?.id };
}

/** Counts the plans that `from` holds, and those that the successor took over from it. */
async function countAll({ from, to }: TransferStep, { store }: InteractionPorts) {
  const count = async (...labels: string[]): Promise<number> => {
    const clauses = labels.map((label): SearchClause => ({ kind: 'label', any: [label] }));
    return (await store.search({ type: 'Flag', clauses, sort: [], limit: 0, total: true })).total ?? 0;
  };
  return { remaining: await count(ownerLabel(from)), passed: await count(ownerLabel(to), formerLabel(from)) };
}

/** Passes the plans, or only looks at them for a check. Returns the counts of the response. */
async function passPlans(children: readonly ChildPlans[], step: TransferStep, ports: InteractionPorts) {
  const groups = children.map(({ flags }) => flags);
  const counts = { plans: groups.flat().length, transferred: 0, overlapping: 0, 'same-reference': 0, failed: 0 };
  await runGroups(groups, concurrency, async (flag) => {
    try {
      const passing = step.check ? await assessPlan(flag, step, ports) : await transferPlan(flag.id, step, ports);
      if (passing === undefined) return;
      counts.transferred += step.check ? 0 : 1;
      counts.overlapping += passing.overlaps ? 1 : 0;
      counts['same-reference'] += passing.sharesReference ? 1 : 0;
    } catch (error) {
      if (!(error instanceof FhirFault) || error.category !== 'transient') throw error;
      counts.failed += 1;
    }
  });
  return counts;
}

/** Hands over what `from` is still owed about the children. Returns the number of notifications. */
async function passNotifications(
  children: readonly ChildPlans[],
  { from }: TransferStep,
  ports: InteractionPorts,
): Promise<number> {
  let notifications = 0;
  const groups = children.map(({ patientId }) => [patientId]);
  await runGroups(groups, concurrency, async (patientId) => {
    notifications += await passDeliveriesOf(from, patientId, ports);
  });
  return notifications;
}

/**
 * Performs `$transfer` on the Organization of a local authority, for operators: passes plans and undelivered notifications to
 * a successor, from the vesting day on, a bounded number in each request. profiles/cpis-transfer.json
 */
export async function transfer(
  request: FhirRequest,
  context: AccessContext,
  ports: InteractionPorts,
): Promise<FhirAnswer> {
  authorise(context.caller, 'Organization', 'transfer');
  const step = readTransferStep(request, ports.registry().authorities);
  const { from, vestingDay, check, numbers } = step;
  if (!check && londonDate(ports.clock()) < vestingDay) {
    throw fault(
      'unprocessable',
      `Plans pass on ${vestingDay} at 00:00 in London, not before. check=true is possible.`,
      {
        code: 'business-rule',
      },
    );
  }
  // The access is recorded before anything is changed or notified. No authority sees it: the list may name children of others.
  const access = { ...plainAccess, patientIds: numbers ?? [], resource: `Organization/${from}` };
  await recordAccess(request, context, access, ports);
  const found = await (numbers === undefined ? findNext(step, ports) : findListed(numbers, step, ports));
  const counts = await passPlans(found.children, step, ports);
  const notifications = check ? 0 : await passNotifications(found.children, step, ports);
  const totals = numbers === undefined && check ? await countAll(step, ports) : undefined;
  const integers = {
    ...counts,
    notifications,
    'transferred-before': totals?.passed ?? found.before,
    ...(totals === undefined ? {} : { remaining: totals.remaining }),
    'without-plan': found.withoutPlan,
  };
  const parameter = [
    { name: 'vesting-day', valueDate: vestingDay },
    ...Object.entries(integers).map(([name, valueInteger]) => ({ name, valueInteger })),
    ...(found.next === undefined ? [] : [{ name: 'next', valueString: found.next }]),
  ];
  return { kind: 'ok', body: JSON.stringify({ resourceType: 'Parameters', id: ports.newId(), parameter }) };
}
