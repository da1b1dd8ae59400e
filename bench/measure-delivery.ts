/**
 * Measures notifications to one healthy receiver: first builds a backlog, then creates the Subscription that drains it.
 */
import { openFhirClient } from '../src/synthetic/fhir-client.ts';
import type { SyntheticClient } from '../src/synthetic/synthetic-registry.ts';
import type { ServerHome } from '../test/support/server-process.ts';
import { type Child, startChild } from './child.ts';
import type { LoadJob, LoadResult } from './load-generator.ts';

/** The process of the receiver. It is started before the registry is made, because the registry lists its origin. */
export interface BenchReceiver {
  readonly child: Child;
  readonly origin: string;
}

export interface DeliveryFigures {
  readonly events: number;
  readonly perSecond: number;
}

export async function openBenchReceiver(): Promise<BenchReceiver> {
  const child = startChild('receiver.ts');
  return { child, origin: await child.ask<string>({ kind: 'open' }) };
}

/**
 * Looks up `children` of `authority` `events` times, subscribes the authority and waits until it is notified of each.
 */
export async function measureDelivery(
  home: ServerHome,
  authority: SyntheticClient,
  receiver: BenchReceiver,
  children: readonly string[],
  events: number,
): Promise<DeliveryFigures> {
  const [reader] = home.registry.careProviders;
  if (reader === undefined) throw new Error('the registry has no care provider');
  const generator = startChild('load-generator.ts');
  const token = await openFhirClient(home.baseUrl, reader).token();
  const connections = 16;
  const made = await generator.ask<LoadResult>({
    origin: home.origin,
    paths: children.map((nhsNumber) => `/FHIR/R4/Flag?patient=${nhsNumber}`),
    authorizations: [`Bearer ${token}`],
    connections,
    amount: events,
  } satisfies LoadJob);
  generator.close();
  if (made.ok !== events) throw new Error(`${made.failed} look-ups failed`);
  const arrived = receiver.child.ask<{ readonly seconds: number; readonly events: number }>({ kind: 'count', events });
  const { status, body } = await openFhirClient(home.baseUrl, authority).request('POST', 'Subscription', {
    resourceType: 'Subscription',
    status: 'requested',
    reason: 'bench',
    criteria: `AuditEvent?agent=Organization/${authority.organisationId}`,
    channel: { type: 'rest-hook', endpoint: `${receiver.origin}/notify`, payload: 'application/fhir+json' },
  });
  if (status !== 201) throw new Error(`creating the Subscription returned status ${status}: ${JSON.stringify(body)}`);
  const { seconds, events: received } = await arrived;
  return { events: received, perSecond: received / seconds };
}
