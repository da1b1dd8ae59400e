import type { Subscription } from 'fhir/r4.js';
import type { Caller } from '../cpis/caller.ts';
import { clientLabel, ownerLabel } from '../cpis/labels.ts';
import type { StoredResource } from '../store/store.ts';
import { refuseErrors } from './check-resource.ts';
import type { PlannedWrite } from './planned-write.ts';
import type { InteractionPorts } from './ports.ts';
import { plainAccess } from './record-access.ts';
import { answerWrite, buildDeletion, buildResourceWrite } from './resource-write.ts';

export interface SubscriptionSubmission {
  readonly subscription: Subscription;
  readonly id: string;
  /** The version that is replaced, owned by the caller; undefined: a new one. */
  readonly current: StoredResource | undefined;
}

/** Plans the creation or replacement of a Subscription; the server activates it once it is stored. */
export function planSubscriptionWrite(
  { subscription, id, current }: SubscriptionSubmission,
  caller: Caller,
  ports: InteractionPorts,
): PlannedWrite {
  const guarded = ports.subscriptions.protect({ ...subscription, id }, current?.body) as Subscription;
  const issues = ports.subscriptions.check(guarded, caller);
  refuseErrors(issues);
  const owner = caller.organisation.id;
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
    touches: [],
    access: { ...plainAccess, resource: `Subscription/${id}`, custodianIds: [owner] },
    answer: { ...answer, body: ports.subscriptions.redact(answer.body ?? ''), warnings: issues },
    committed: () => ports.subscriptions.changed(owner),
  };
}

/** Plans the end of a Subscription; deliveries that were owed stay owed. */
export function planSubscriptionDeletion(
  current: StoredResource,
  caller: Caller,
  ports: InteractionPorts,
): PlannedWrite {
  const owner = caller.organisation.id;
  const version = current.version + 1;
  return {
    writes: [buildDeletion(current, ports)],
    touches: [],
    access: { ...plainAccess, resource: `Subscription/${current.id}`, custodianIds: [owner] },
    answer: { kind: 'deleted', versionId: String(version) },
    committed: () => ports.subscriptions.changed(owner),
  };
}
