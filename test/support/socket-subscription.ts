import { backport } from '../../src/fhir/subscription/backport.ts';

/** A Subscription to accesses, whose channel is a WebSocket. */
export const socketSubscription = {
  resourceType: 'Subscription',
  status: 'requested',
  reason: 'Accesses to own plans',
  criteria: 'https://cpis-fhir.example.org/fhir/SubscriptionTopic/access-to-record',
  channel: {
    ...{ type: 'websocket', payload: 'application/fhir+json' },
    _payload: { extension: [{ url: backport.payloadContent, valueCode: 'full-resource' }] },
  },
};
