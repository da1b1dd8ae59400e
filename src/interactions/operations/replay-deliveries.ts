import { authorise } from '../../cpis/access-policy.ts';
import { fault } from '../../fhir/fault.ts';
import type { DeliveryBacklog, DeliveryBreach } from '../../store/store.ts';
import { plainAccess, recordAccess } from '../audit/record-access.ts';
import type { AccessContext, FhirAnswer, FhirRequest } from '../port/interaction.ts';
import type { InteractionPorts } from '../port/ports.ts';
import { readOperationParameters } from './operation-parameters.ts';

const maxBreaches = 20;

const instantOf = (ms: number): string => new Date(ms).toISOString();

function renderBreach({ kind, oldestRecordedMs, atMs, undelivered }: DeliveryBreach) {
  return {
    name: 'breach',
    part: [
      { name: 'kind', valueCode: kind },
      { name: 'undelivered-since', valueInstant: instantOf(oldestRecordedMs) },
      { name: 'recorded', valueInstant: instantOf(atMs) },
      { name: 'undelivered', valueInteger: undelivered },
    ],
  };
}

function renderBacklog(row: DeliveryBacklog) {
  const { undelivered, parked, unmatched, delivered, oldestRecordedMs, oldestParkedMs, oldestUnmatchedMs } = row;
  const oldest = Math.min(oldestRecordedMs ?? Number.POSITIVE_INFINITY, oldestParkedMs ?? Number.POSITIVE_INFINITY);
  return [
    { name: 'undelivered', valueInteger: undelivered },
    { name: 'parked', valueInteger: parked },
    { name: 'unwanted', valueInteger: unmatched },
    ...(oldestUnmatchedMs === undefined
      ? []
      : [{ name: 'unwanted-since', valueInstant: instantOf(oldestUnmatchedMs) }]),
    { name: 'delivered', valueInteger: delivered },
    ...(Number.isFinite(oldest) ? [{ name: 'undelivered-since', valueInstant: instantOf(oldest) }] : []),
  ];
}

/**
 * Performs `$replay-deliveries` on the Organization of a local authority, for operators: makes its waiting deliveries
 * due now, resets parked ones, and reports its backlog in numbers. profiles/cpis-replay-deliveries.json
 */
export async function replayDeliveries(
  request: FhirRequest,
  context: AccessContext,
  ports: InteractionPorts,
): Promise<FhirAnswer> {
  authorise(context.caller, 'Organization', 'replay-deliveries');
  readOperationParameters(request, {});
  const { id = '' } = request;
  const { deliveries } = ports.store;
  const owed = (await deliveries.backlog()).some(({ authority }) => authority === id);
  if (!owed && !ports.registry().authorities.has(id)) {
    throw fault('not-found', 'There is no local authority with this id.');
  }
  // The access is recorded before anything is sent. The authority may see it.
  await recordAccess(request, context, { ...plainAccess, custodianIds: [id], resource: `Organization/${id}` }, ports);
  const replayed = await ports.replayDeliveries(id);
  const row = (await deliveries.backlog()).find(({ authority }) => authority === id);
  const parameter = [
    { name: 'replayed', valueInteger: replayed },
    ...(row === undefined ? [] : renderBacklog(row)),
    ...(await deliveries.breaches(maxBreaches, id)).map(renderBreach),
  ];
  return { kind: 'ok', body: JSON.stringify({ resourceType: 'Parameters', id: ports.newId(), parameter }) };
}
