import { authorise } from '../cpis/access-policy.ts';
import { checkIfMatch } from './etag.ts';
import { visibleToAuthority } from './find-resource.ts';
import type { AccessContext, FhirRequest } from './interaction.ts';
import { planFlagDeletion } from './plan-flag-write.ts';
import { planSubscriptionDeletion } from './plan-subscription-write.ts';
import type { PlannedWrite } from './planned-write.ts';
import type { InteractionPorts } from './ports.ts';
import type { View } from './view.ts';

/** delete: an authority withdraws its own Flag or Subscription. https://hl7.org/fhir/R4/http.html#delete */
export async function planDelete(
  request: FhirRequest,
  context: AccessContext,
  view: View,
  ports: InteractionPorts,
): Promise<PlannedWrite> {
  const type = request.type ?? '';
  const { caller } = context;
  authorise(caller, type, 'delete');
  const current = visibleToAuthority(await view.read(type, request.id ?? ''), type, caller);
  checkIfMatch(request.ifMatch, current.version);
  return type === 'Flag'
    ? planFlagDeletion(current, caller, view, ports)
    : planSubscriptionDeletion(current, caller, ports);
}
