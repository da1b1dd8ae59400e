import type { Subscription } from 'fhir/r4.js';
import type { Caller } from '../../cpis/caller.ts';
import { clientLabel, ownerLabel } from '../../cpis/labels.ts';
import { maxSubscriptions } from '../../cpis/subscription-limit.ts';
import { fault } from '../../fhir/fault.ts';
import type { StoredResource } from '../../store/store.ts';
import { plainAccess } from '../audit/record-access.ts';
import type { InteractionPorts } from '../port/ports.ts';
import { refuseErrors } from './check-resource.ts';
import type { PlannedWrite } from './planned-write.ts';
import { answerWrite, buildDeletion, buildResourceWrite } from './resource-write.ts';

export interface SubscriptionSubmission {
  readonly subscription: Subscription;
  readonly id: string;
  /** Version to replace, owned by the caller; undefined for a new Subscription. */
  readonly current: StoredResource | undefined;
}

/** Throws `unprocessable` if the authority has the maximum of other Subscriptions that are not `off`. */
async function checkRoom(owner: string, id: string, ports: InteractionPorts): Promise<void> {
  const { matches } = await ports.store.search({
    type: 'Subscription',
    clauses: [
      { kind: 'label', any: [ownerLabel(owner)] },
      { kind: 'token', param: 'status', negated: true, any: [{ code: 'off' }] },
    ],
    sort: [],
    limit: maxSubscriptions + 1,
    total: false,
  });
  if (matches.filter((other) => other.id !== id).length < maxSubscriptions) return;
  throw fault(
    'unprocessable',
    `This authority has ${maxSubscriptions} other Subscriptions that are not "off", the maximum. Turn one off or delete it.`,
    {
      expression: ['Subscription.status'],
    },
  );
}

/** Plans the creation or replacement of a Subscription. The server activates it once it is stored. */
export async function planSubscriptionWrite(
  { subscription, id, current }: SubscriptionSubmission,
  caller: Caller,
  ports: InteractionPorts,
): Promise<PlannedWrite> {
  const guarded = ports.subscriptions.protect({ ...subscription, id }, current?.body) as Subscription;
  const issues = ports.subscriptions.check(guarded, caller);
  refuseErrors(issues);
  const owner = caller.organisation.id;
  if (guarded.status !== 'off') await checkRoom(owner, id, ports);
  const write = buildResourceWrite(
    guarded,
    id,
    {
      version: (current?.version ?? 0) + 1,
      method: current === undefined ? 'POST' : 'PUT',
      labels: [ownerLabel(owner), clientLabel(caller.clientId)],
      uniqueKeys: [],
    },
    ports,
  );
  const answer = answerWrite(write);
  return {
    writes: [write],
    guards: [],
    access: { ...plainAccess, resource: `Subscription/${id}`, custodianIds: [owner] },
    answer: { ...answer, body: ports.subscriptions.redact(answer.body ?? ''), warnings: issues },
    committed: () => ports.subscriptions.changed(owner),
  };
}

/** Plans the deletion of a Subscription. Deliveries that are owed stay owed. */
export function planSubscriptionDeletion(
  current: StoredResource,
  caller: Caller,
  ports: InteractionPorts,
): PlannedWrite {
  const owner = caller.organisation.id;
  const version = current.version + 1;
  return {
    writes: [buildDeletion(current, ports)],
    guards: [],
    access: { ...plainAccess, resource: `Subscription/${current.id}`, custodianIds: [owner] },
    answer: { kind: 'deleted', versionId: String(version) },
    committed: () => ports.subscriptions.changed(owner),
  };
}
