import type { Subscription } from 'fhir/r4.js';
import { isTopicCriteria, type PayloadContent, readTopicRequest } from '../../fhir/subscription/backport.ts';
import type { SubscriptionState } from '../../fhir/subscription/notification-bundle.ts';
import type { StoredResource } from '../../store/store.ts';
import type { InteractionPorts } from '../port/ports.ts';

export interface StateWithContent {
  readonly state: SubscriptionState;
  /** Content of its notifications; `empty` if its criteria are a search. */
  readonly content: PayloadContent;
}

/** Reads the state of a stored Subscription. */
export async function readState(stored: StoredResource, ports: InteractionPorts): Promise<StateWithContent> {
  const subscription: Subscription = JSON.parse(stored.body);
  const asked = isTopicCriteria(subscription.criteria) ? readTopicRequest(subscription).request : undefined;
  return {
    content: asked?.content ?? 'empty',
    state: {
      id: stored.id,
      topic: asked?.topic,
      status: subscription.status,
      error: subscription.error,
      lastNumber: asked === undefined ? undefined : await ports.store.subscriptionEvents.last(stored.id),
    },
  };
}
