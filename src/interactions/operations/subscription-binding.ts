import type { Subscription } from 'fhir/r4.js';
import { authorise, narrow } from '../../cpis/access-policy.ts';
import { fault } from '../../fhir/fault.ts';
import type { StoredResource } from '../../store/store.ts';
import { plainAccess, recordAccess } from '../audit/record-access.ts';
import type { AccessContext, FhirAnswer, FhirRequest } from '../port/interaction.ts';
import type { InteractionPorts } from '../port/ports.ts';
import { visibleToAuthority } from '../resource/find-resource.ts';
import { visibilityRule } from '../resource/visibility-rule.ts';
import { readOperationParameters } from './operation-parameters.ts';

const maxBound = 20;

const isBindable = ({ body }: StoredResource): boolean => {
  const { channel, status }: Subscription = JSON.parse(body);
  return channel.type === 'websocket' && status !== 'off';
};

/** Finds the named Subscriptions, each of which must exist, or all of the caller's that can be bound. */
async function findWanted(
  request: FhirRequest,
  { caller }: AccessContext,
  ports: InteractionPorts,
): Promise<readonly StoredResource[]> {
  const parameters = readOperationParameters(request, { id: true });
  const named = request.id === undefined ? parameters.get('id') : [request.id];
  if (named !== undefined) {
    if (named.length > maxBound) {
      throw fault('invalid', `A token binds at most ${maxBound} Subscriptions. Request several tokens.`, {
        expression: ['id'],
      });
    }
    const found: StoredResource[] = [];
    for (const id of new Set(named)) {
      found.push(visibleToAuthority(await ports.store.read('Subscription', id), 'Subscription', caller));
    }
    return found;
  }
  const { matches } = await ports.store.search({
    type: 'Subscription',
    clauses: [
      ...narrow(caller, 'Subscription', visibilityRule(ports)),
      { kind: 'token', param: 'status', negated: true, any: [{ code: 'off' }] },
    ],
    sort: [],
    limit: maxBound,
    total: false,
  });
  return matches.filter(isBindable);
}

/**
 * Performs `$get-ws-binding-token`: issues a single-use token that binds a WebSocket to Subscriptions of the caller.
 * http://hl7.org/fhir/uv/subscriptions-backport/OperationDefinition/backport-subscription-get-ws-binding-token
 */
export async function subscriptionBinding(
  request: FhirRequest,
  context: AccessContext,
  ports: InteractionPorts,
): Promise<FhirAnswer> {
  authorise(context.caller, 'Subscription', 'get-ws-binding-token');
  authorise(context.caller, 'AuditEvent', 'read');
  const { caller } = context;
  const wanted = await findWanted(request, context, ports);
  if (wanted.length === 0 || !wanted.every(isBindable)) {
    throw fault(
      'unprocessable',
      'A token binds only Subscriptions whose channel is websocket and whose status is not off.',
      {
        expression: ['Subscription.channel.type'],
      },
    );
  }
  const ids = wanted.map(({ id }) => id);
  const owner = caller.organisation.id;
  const { token, expiresAtMs, url } = ports.subscriptions.issueBindingToken(caller, ids);
  const [only, ...others] = ids;
  const resource = others.length === 0 ? { resource: `Subscription/${only}` } : {};
  await recordAccess(request, context, { ...plainAccess, custodianIds: [owner], ...resource }, ports);
  const parameter = [
    { name: 'token', valueString: token },
    { name: 'expiration', valueDateTime: new Date(expiresAtMs).toISOString() },
    ...ids.map((id) => ({ name: 'subscription', valueString: id })),
    { name: 'websocket-url', valueUrl: url },
  ];
  return { kind: 'ok', body: JSON.stringify({ resourceType: 'Parameters', id: ports.newId(), parameter }) };
}
