import { authorise, narrow } from '../../cpis/access-policy.ts';
import { fault } from '../../fhir/fault.ts';
import type { SearchClause } from '../../fhir/search/ast.ts';
import { renderStatus } from '../../fhir/subscription/notification-bundle.ts';
import type { StoredResource } from '../../store/store.ts';
import { plainAccess, recordAccess } from '../audit/record-access.ts';
import type { AccessContext, FhirAnswer, FhirRequest } from '../port/interaction.ts';
import type { InteractionPorts } from '../port/ports.ts';
import { visibleToAuthority } from '../resource/find-resource.ts';
import { visibilityRule } from '../resource/visibility-rule.ts';
import { readOperationParameters } from './operation-parameters.ts';
import { readState } from './subscription-state.ts';

const maxAtOnce = 200;
const statusCode = /^(?:requested|active|error|off)$/;

async function findOwn(
  request: FhirRequest,
  { caller }: AccessContext,
  ports: InteractionPorts,
): Promise<readonly StoredResource[]> {
  const parameters = readOperationParameters(request, { id: true, status: true });
  if (request.id !== undefined) {
    return [visibleToAuthority(await ports.store.read('Subscription', request.id), 'Subscription', caller)];
  }
  const ids = parameters.get('id');
  const statuses = parameters.get('status');
  if ((ids?.length ?? 0) > maxAtOnce || (statuses?.length ?? 0) > maxAtOnce) {
    throw fault('invalid', `At most ${maxAtOnce} ids and ${maxAtOnce} statuses are accepted. Send several requests.`, {
      code: 'too-long',
      expression: ['id'],
    });
  }
  if (statuses?.every((status) => statusCode.test(status)) === false) {
    throw fault('invalid', 'The status must be one of: requested, active, error, off.', { expression: ['status'] });
  }
  const clauses: SearchClause[] = [...narrow(caller, 'Subscription', visibilityRule(ports))];
  if (ids !== undefined) clauses.push({ kind: 'id', any: ids });
  if (statuses !== undefined) {
    clauses.push({ kind: 'token', param: 'status', negated: false, any: statuses.map((code) => ({ code })) });
  }
  const plan = { type: 'Subscription', clauses, sort: [], limit: maxAtOnce, total: false } as const;
  const { matches, next } = await ports.store.search(plan);
  if (next === undefined) return matches;
  throw fault('unprocessable', `More than ${maxAtOnce} Subscriptions match. Name their id or status.`, {
    code: 'too-costly',
    expression: ['id'],
  });
}

/**
 * Performs `$status` on the caller's Subscriptions, audited before it is answered.
 * http://hl7.org/fhir/uv/subscriptions-backport/OperationDefinition/backport-subscription-status
 */
export async function subscriptionStatus(
  request: FhirRequest,
  context: AccessContext,
  ports: InteractionPorts,
): Promise<FhirAnswer> {
  authorise(context.caller, 'Subscription', 'status');
  const found = await findOwn(request, context, ports);
  const owner = context.caller.organisation.id;
  await ports.subscriptions.allNumbered(owner);
  const states = await Promise.all(found.map((stored) => readState(stored, ports)));
  const { baseUrl, newId } = ports;
  const entry = states.map(({ state }) => {
    const parts = { baseUrl, newId, nowMs: ports.clock(), content: 'id-only' } as const;
    const resource = renderStatus(state, 'query-status', [], parts);
    return { fullUrl: `urn:uuid:${resource['id']}`, resource, search: { mode: 'match' } };
  });
  const access = {
    ...plainAccess,
    custodianIds: [owner],
    ...(request.id === undefined ? {} : { resource: `Subscription/${request.id}` }),
  };
  await recordAccess(request, context, access, ports);
  const bundle = { resourceType: 'Bundle', id: newId(), type: 'searchset', total: entry.length, entry };
  return { kind: 'ok', body: JSON.stringify(entry.length > 0 ? bundle : { ...bundle, entry: undefined }) };
}
