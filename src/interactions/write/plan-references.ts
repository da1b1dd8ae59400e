/** References of plans: a reference belongs to the first plan that had it, for good, and a withdrawn plan stays withdrawn. */
import type { Flag } from 'fhir/r4.js';
import { bearsLabelFor } from '../../cpis/access-policy.ts';
import type { Caller } from '../../cpis/caller.ts';
import { isHeld, type Plan, parsePlan, planKeys, planKinds } from '../../cpis/plan.ts';
import { findOverlap, isExclusive } from '../../cpis/plan-overlap.ts';
import { endedPredecessorsOf } from '../../cpis/succession.ts';
import { membersOf } from '../../fhir/any-json.ts';
import { type FhirFault, fault, type Issue } from '../../fhir/fault.ts';
import type { ReadResult } from '../../store/store.ts';
import type { InteractionPorts } from '../port/ports.ts';
import type { View } from '../resource/view.ts';
import { visibilityRule } from '../resource/visibility-rule.ts';

/** How long a client waits before it submits a plan again that has not been transferred yet. */
const transferWaitS = 60;

/** Names a recorded plan to the authority that holds it. */
function nameOf(body: string): string {
  const { id, identifier = [] } = JSON.parse(body) as Flag;
  return `Flag/${id}, reference ${identifier.map(({ system, value }) => `${system}|${value}`).join(' and ')}`;
}

/** The warning that a conditional create found a withdrawn plan. */
export const foundWithdrawn: Issue = {
  severity: 'warning',
  code: 'business-rule',
  diagnostics:
    'The plan that meets these criteria was withdrawn. It stays withdrawn, and NHS staff do not see it. If it was withdrawn ' +
    'in error, update it by its id with If-Match; for a new plan, submit a new reference.',
  expression: ['http.If-None-Exist'],
};

/** Returns the fault of a submission that would revive a withdrawn plan. */
export function staysWithdrawn(expression: string): FhirFault {
  return fault(
    'unprocessable',
    'This plan was withdrawn and stays withdrawn. If it was withdrawn in error, update it by its id with If-Match; for a ' +
      'new plan, submit a new reference.',
    { code: 'business-rule', expression: [expression] },
  );
}

/**
 * Returns the fault of a plan whose reference the Flag `holderId` has or had. It names that plan only to the authority that
 * holds it.
 */
export async function referenceTaken(holderId: string, caller: Caller, ports: InteractionPorts): Promise<FhirFault> {
  const holder = await ports.store.read('Flag', holderId);
  const refuse = (text: string): FhirFault =>
    fault('conflict', text, { code: 'duplicate', expression: ['Flag.identifier'] });
  const labels = holder.kind === 'found' ? holder.resource.labels : holder.kind === 'deleted' ? holder.labels : [];
  if (holder.kind === 'absent' || !bearsLabelFor(caller, 'Flag', labels)) {
    return refuse('This authority has another plan with the same identifier. Use another identifier.');
  }
  if (holder.kind === 'deleted' || !isHeld(parsePlan(holder.resource))) return staysWithdrawn('Flag.identifier');
  return refuse(
    'This authority has another plan with the same identifier, now or in an earlier version: ' +
      `${nameOf(holder.resource.body)}. Amend that plan, or use another identifier.`,
  );
}

/** Returns a deleted plan as a withdrawn one, if the body would revive it; undefined otherwise. */
export async function readDeletedPlan(
  body: unknown,
  id: string,
  found: ReadResult,
  caller: Caller,
  ports: InteractionPorts,
): Promise<ReadResult | undefined> {
  const { status } = membersOf(body);
  if (found.kind !== 'deleted' || (status !== 'active' && status !== 'inactive')) return undefined;
  const { version, revision, labels } = found;
  // A plan of another authority is read no further than one that does not exist.
  if (!bearsLabelFor(caller, 'Flag', labels)) return undefined;
  const before = await ports.store.readVersion('Flag', id, version - 1);
  if (before.kind !== 'found') return undefined;
  const withdrawn = JSON.stringify({ ...JSON.parse(before.resource.body), status: 'entered-in-error' });
  return { kind: 'found', resource: { ...before.resource, version, revision, labels, body: withdrawn } };
}

/**
 * Throws if a predecessor of the caller's authority still holds a plan on the child with a reference of the submitted one. It
 * is the same plan, and would be shown twice until it has passed.
 */
export async function refuseBeforeTransfer(
  flag: Flag,
  patientId: string,
  caller: Caller,
  view: View,
  ports: InteractionPorts,
): Promise<void> {
  const { today } = visibilityRule(ports);
  const predecessors = endedPredecessorsOf(caller.organisation.id, ports.registry().authorities, today);
  if (predecessors.length === 0) return;
  const keys = new Set(planKeys(flag, ''));
  for (const { id, authorityId } of await view.plansOf(patientId)) {
    if (!predecessors.some((predecessor) => predecessor.id === authorityId)) continue;
    const held = await view.read('Flag', id);
    if (held.kind !== 'found') continue;
    if (!planKeys(JSON.parse(held.resource.body) as Flag, '').some((key) => keys.has(key))) continue;
    throw fault(
      'transient',
      'This plan has not been transferred from the predecessor of this authority yet. Submit it again after Retry-After, or ' +
        'ask the operator when the transfer will be complete.',
      { retryAfterS: transferWaitS, expression: ['Flag.identifier'] },
    );
  }
}

/** Throws if the authority of `plan` already holds a plan of its kind on the child for the same time. */
export async function refuseOverlap(plan: Plan, known: Plan | undefined, view: View): Promise<void> {
  if (!isExclusive(plan)) return;
  const held = findOverlap(plan, known, await view.plansOf(plan.patientId));
  if (held === undefined) return;
  const flag = await view.read('Flag', held.id);
  const name = flag.kind === 'found' ? nameOf(flag.resource.body) : `Flag/${held.id}`;
  const kind = planKinds[plan.kind as keyof typeof planKinds].short;
  throw fault(
    'conflict',
    `This authority already holds a ${kind} on this child for a period that overlaps: ${name}. If it is the same plan, ` +
      'amend that one; add the new reference to it if the reference has changed. If it is an earlier plan, end or withdraw it ' +
      'first.',
    { code: 'duplicate', expression: ['Flag.period'] },
  );
}
