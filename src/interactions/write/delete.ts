import { authorise, bearsLabelFor } from '../../cpis/access-policy.ts';
import { plainAccess } from '../audit/record-access.ts';
import type { AccessContext, FhirRequest } from '../port/interaction.ts';
import type { InteractionPorts } from '../port/ports.ts';
import { visibleToAuthority } from '../resource/find-resource.ts';
import type { View } from '../resource/view.ts';
import { findOne, planCriteria } from './conditional.ts';
import { checkIfMatch } from './etag.ts';
import { planFlagDeletion } from './plan-flag-write.ts';
import { planSubscriptionDeletion } from './plan-subscription-write.ts';
import type { PlannedWrite } from './planned-write.ts';

/**
 * Plans a delete or conditional delete: an authority withdraws its own Flag or Subscription. Repeating it, and criteria
 * without a match, change nothing. Throws `precondition` for several matches. https://hl7.org/fhir/R4/http.html#delete
 */
export async function planDelete(
  request: FhirRequest,
  context: AccessContext,
  view: View,
  ports: InteractionPorts,
): Promise<PlannedWrite> {
  const type = request.type ?? '';
  const { caller } = context;
  authorise(caller, type, 'delete');
  let id = request.id;
  if (id === undefined) {
    const matched = await findOne(planCriteria(type, request.query, context, ports), ports);
    if (matched === undefined) {
      checkIfMatch(request.ifMatch, 0);
      const access = { ...plainAccess, custodianIds: [caller.organisation.id] };
      return { writes: [], guards: [], access, answer: { kind: 'deleted' } };
    }
    id = matched.id;
  }
  const found = await view.read(type, id);
  if (found.kind === 'deleted' && bearsLabelFor(caller, type, found.labels)) {
    checkIfMatch(request.ifMatch, found.version);
    const access = { ...plainAccess, resource: `${type}/${id}`, custodianIds: [caller.organisation.id] };
    return { writes: [], guards: [], access, answer: { kind: 'deleted', versionId: String(found.version) } };
  }
  const current = visibleToAuthority(found, type, caller);
  checkIfMatch(request.ifMatch, current.version);
  return type === 'Flag'
    ? planFlagDeletion(current, caller, view, ports)
    : planSubscriptionDeletion(current, caller, ports);
}
