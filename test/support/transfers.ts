import type { Parameters, Subscription } from 'fhir/r4.js';
import { addDays, londonDate } from '../../src/cpis/london-date.ts';
import type { FhirClient, FhirResponse } from '../../src/synthetic/fhir-client.ts';
import type { RunningWorld } from './running-server.ts';
import { idIn } from './submissions.ts';
import { setTerms } from './terms.ts';
import { waitUntil } from './wait-until.ts';

/** Ends the authority `from` yesterday, so that the others have taken over today. */
export function endTerm(
  world: Pick<RunningWorld, 'folder' | 'server'>,
  from: string,
  ...to: readonly string[]
): Promise<void> {
  return setTerms(world, { [from]: { validTo: addDays(londonDate(Date.now()), -1), replacedBy: to } });
}

/** Which plans to transfer: the numbers of children, or all; after a position. */
export interface TransferScope {
  readonly numbers?: readonly string[];
  readonly after?: string;
  readonly check?: boolean;
}

/** Requests one step of a transfer. */
export function requestTransfer(
  operator: FhirClient,
  from: string,
  to: string,
  { numbers, after, check = false }: TransferScope = {},
): Promise<FhirResponse<Parameters>> {
  const parameter = [
    { name: 'to', valueString: to },
    ...(numbers === undefined
      ? [{ name: 'all', valueBoolean: true }]
      : numbers.map((valueString) => ({ name: 'nhs-number', valueString }))),
    ...(after === undefined ? [] : [{ name: 'after', valueString: after }]),
    { name: 'check', valueBoolean: check },
  ];
  return operator.request<Parameters>('POST', `Organization/${from}/$transfer`, {
    resourceType: 'Parameters',
    parameter,
  });
}

/** Returns the parameters of a response by name. */
export function countsOf({ body }: FhirResponse<Parameters>): Record<string, number | string | undefined> {
  return Object.fromEntries(
    (body.parameter ?? []).map(({ name, valueInteger, valueDate, valueString }) => [
      name,
      valueInteger ?? valueDate ?? valueString,
    ]),
  );
}

/** Performs a transfer and returns its counts. Throws if it was refused. */
export async function transferPlans(
  operator: FhirClient,
  from: string,
  to: string,
  scope: TransferScope = {},
): Promise<Record<string, number | string | undefined>> {
  const answer = await requestTransfer(operator, from, to, scope);
  if (answer.status !== 200) throw new Error(`${answer.status}: ${JSON.stringify(answer.body)}`);
  return countsOf(answer);
}

/** Creates a Subscription of an authority and waits until it is in use. Returns its id. */
export async function subscribe(client: FhirClient, over: Partial<Subscription> & Pick<Subscription, 'channel'>) {
  const created = await client.request<Subscription>('POST', 'Subscription', {
    resourceType: 'Subscription',
    status: 'requested',
    reason: 'Notifications',
    criteria: 'AuditEvent',
    ...over,
  });
  if (created.status !== 201) throw new Error(`${created.status}: ${JSON.stringify(created.body)}`);
  const id = idIn(created.headers.get('location'));
  await waitUntil('the Subscription is active', async () => {
    const { body } = await client.request<Subscription>('GET', `Subscription/${id}`);
    return body.status === 'active';
  });
  return id;
}
