import type { Flag, Patient } from 'fhir/r4.js';
import { ownerOf } from '../../cpis/labels.ts';
import { isHeld, type Plan, parsePlan, planKeys } from '../../cpis/plan.ts';
import { recordPlanEvent } from '../../cpis/plan-event-record.ts';
import { transferLabels } from '../../cpis/plan-labels.ts';
import { statementLabels, statementType } from '../../cpis/statement.ts';
import { fault } from '../../fhir/fault.ts';
import type { ReadResult, ResourceWrite, RevisionGuard, StoredResource, WriteUnit } from '../../store/store.ts';
import type { InteractionPorts } from '../port/ports.ts';
import { overlayView, storeView } from '../resource/view.ts';
import { guardChild, readChild } from '../write/child-record.ts';
import { maxPlans } from '../write/commit-write.ts';
import { buildResourceWrite, guardOf } from '../write/resource-write.ts';
import { reviewChildren } from '../write/review-children.ts';

/** From which authority to which plans pass. */
export interface Transfer {
  readonly from: string;
  readonly to: string;
  readonly vestingDay: string;
}

/** What the operator should know of a plan that passes, or would pass. */
export interface PassingPlan {
  readonly patientId: string;
  /** The successor holds an open plan of the same kind on the child already. Both are kept. */
  readonly overlaps: boolean;
  /** The successor has another plan with the same reference. Both are kept; they are amended by id. */
  readonly sharesReference: boolean;
}

function isOpen(plan: Plan): boolean {
  return isHeld(plan) && plan.end === undefined;
}

/** Describes a plan of `from` that would pass, without changing anything; undefined if `from` no longer holds it. */
export async function assessPlan(
  flag: StoredResource,
  { from, to }: Transfer,
  { store }: Pick<InteractionPorts, 'store'>,
): Promise<PassingPlan | undefined> {
  if (ownerOf(flag.labels) !== from) return undefined;
  const plan = parsePlan(flag);
  const plans = await storeView(store).plansOf(plan.patientId);
  const own = plans.filter(({ authorityId }) => authorityId === to);
  const overlaps = isOpen(plan) && own.some((other) => isOpen(other) && other.kind === plan.kind);
  const keys = new Set(planKeys(JSON.parse(flag.body) as Flag, to));
  let sharesReference = false;
  for (const { id } of own) {
    const other = await store.read('Flag', id);
    if (other.kind !== 'found') continue;
    sharesReference ||= planKeys(JSON.parse(other.resource.body) as Flag, to).some((key) => keys.has(key));
  }
  return { patientId: plan.patientId, overlaps, sharesReference };
}

/** Gives the successor the Patient that `from` stated, unless it has stated one itself. It sees it as a holder. */
function passStatement(
  nhsNumber: string,
  { to }: Transfer,
  stated: { readonly from: ReadResult; readonly to: ReadResult },
  plans: readonly Plan[],
  ports: InteractionPorts,
): { readonly writes: readonly ResourceWrite[]; readonly guards: readonly RevisionGuard[] } {
  const type = statementType(to);
  const labels = statementLabels(to, plans);
  if (stated.to.kind === 'found') {
    const { revision } = stated.to.resource;
    return { writes: [], guards: [{ type, id: nhsNumber, expectRevision: revision, labels }] };
  }
  if (stated.from.kind !== 'found' || stated.to.kind === 'deleted') return { writes: [], guards: [] };
  const patient = JSON.parse(stated.from.resource.body) as Patient;
  const write = buildResourceWrite(patient, nhsNumber, { version: 1, method: 'PUT', labels, uniqueKeys: [] }, ports);
  return { writes: [{ ...write, type }], guards: [] };
}

/**
 * Plans the unit that passes one plan on: the same Flag in its next version, with its AuditEvent and deliveries, and with
 * the review of the child, on whom the successor may state other details than the other holders.
 */
async function planTransfer(flag: StoredResource, transfer: Transfer, keyOwner: string, ports: InteractionPorts) {
  const { from, to, vestingDay } = transfer;
  const { store } = ports;
  const view = overlayView(storeView(store));
  const stored = JSON.parse(flag.body) as Flag;
  const { patientId } = parsePlan(flag);
  // The child record is read first, so that its revision guards what is decided on the plans.
  const child = await readChild(view, patientId);
  const plans = (await view.plansOf(patientId)).map((each) =>
    each.id === flag.id ? { ...each, authorityId: to } : each,
  );
  const [statedByFrom, statedByTo] = await Promise.all([
    store.read(statementType(from), patientId),
    store.read(statementType(to), patientId),
  ]);
  const statement = passStatement(patientId, transfer, { from: statedByFrom, to: statedByTo }, plans, ports);
  const write = buildResourceWrite(
    { ...stored, author: { reference: `Organization/${to}` } },
    flag.id,
    {
      version: flag.version + 1,
      method: 'PUT',
      labels: transferLabels(flag.labels, from, to),
      uniqueKeys: planKeys(stored, keyOwner),
    },
    ports,
  );
  const eventOf = (authorityId: string, notifies: boolean) =>
    recordPlanEvent(
      {
        ...{ id: ports.newAuditId(), recordedMs: ports.clock(), planId: flag.id, authorityId, notifies },
        event: { code: 'transferred', date: vestingDay },
      },
      ports.baseUrl,
    );
  const writes = [write, ...statement.writes];
  view.add(writes, statement.guards);
  const planned = { writes, guards: [guardChild(child), guardOf(flag), ...statement.guards] };
  const { guards, audits, alarms } = await reviewChildren(planned, { leaving: from }, view, ports);
  // An authority without a Subscription finds the event by a search.
  const transferred = [eventOf(from, ports.subscriptions.isNotified(from)), eventOf(to, true)];
  const unit: WriteUnit = { writes, guards, audits: [...transferred, ...audits] };
  return { unit, alarms };
}

/**
 * Passes one plan from an authority to its successor, in one commit. Returns what it found; undefined if `from` no longer
 * holds the plan, so that a repeated call changes nothing. Rejects with `transient` if others keep changing the record.
 */
export async function transferPlan(
  id: string,
  transfer: Transfer,
  ports: InteractionPorts,
): Promise<PassingPlan | undefined> {
  let keyOwner = transfer.to;
  for (let round = 0; round < maxPlans; round += 1) {
    const found = await ports.store.read('Flag', id);
    if (found.kind !== 'found') return undefined;
    const passing = await assessPlan(found.resource, transfer, ports);
    if (passing === undefined) return undefined;
    const { unit, alarms } = await planTransfer(found.resource, transfer, keyOwner, ports);
    const result = await ports.store.commit(unit);
    if (result.kind === 'committed') {
      ports.committed(unit.audits);
      ports.childEvents(alarms);
      return keyOwner === transfer.to ? passing : { ...passing, sharesReference: true };
    }
    // The successor has a plan with the same reference. This one keeps the reference under the name of its predecessor.
    if (result.reason === 'duplicate-key') keyOwner = transfer.from;
  }
  throw fault('transient', 'Others kept changing the record of a plan. Repeat the same request.', { retryAfterS: 1 });
}
