import type { Subscription } from 'fhir/r4.js';
import { waitFor } from '../../../synthetic/wait-for.ts';
import type { DemoAuthority } from '../stage/demo-world.ts';
import type { Stage } from '../stage/stage.ts';

const activationLimitMs = 60_000;

interface Subscribed {
  readonly created: boolean;
  readonly active: boolean;
  /** Whether the server leaves the secret header out of its response. */
  readonly redacted: boolean;
}

function buildSubscription({ receiver, authorization }: DemoAuthority): Subscription {
  return {
    resourceType: 'Subscription',
    status: 'requested',
    reason: 'Notifications of look-ups and changes of our plans',
    criteria: 'AuditEvent',
    channel: {
      type: 'rest-hook',
      endpoint: receiver.endpoint,
      payload: 'application/fhir+json',
      header: [`Authorization: ${authorization}`],
    },
  };
}

async function subscribe(authority: DemoAuthority): Promise<Subscribed> {
  const { client, authorization } = authority;
  const created = await client.request<Subscription>('POST', 'Subscription', buildSubscription(authority));
  let shown = created.body;
  const active = await waitFor(async () => {
    const answer = await client.request<Subscription>('GET', `Subscription/${created.body.id ?? ''}`);
    shown = answer.body;
    return shown.status === 'active';
  }, activationLimitMs);
  return { created: created.status === 201, active, redacted: !JSON.stringify(shown).includes(authorization) };
}

/** Creates a Subscription for each authority and waits until the server has activated it. */
export async function subscribeAll({ world, screen, check }: Stage): Promise<void> {
  const results = await Promise.all(world.authorities.map(subscribe));
  screen.note('POST Subscription: rest-hook, criteria AuditEvent, payload application/fhir+json, own header');
  const all = (wanted: keyof Subscribed): boolean => results.every((result) => result[wanted]);
  check(`${results.length} Subscriptions went from requested to active`, all('created') && all('active'));
  check('the server does not disclose the Authorization header of the endpoint', all('redacted'));
}
