import type { Flag, Patient, Subscription } from 'fhir/r4.js';
import { authorise } from '../../cpis/access-policy.ts';
import { fault } from '../../fhir/fault.ts';
import type { AccessContext, FhirRequest } from '../port/interaction.ts';
import type { InteractionPorts } from '../port/ports.ts';
import { checkId, notCreatedByUpdate, visibleToAuthority } from '../resource/find-resource.ts';
import type { View } from '../resource/view.ts';
import { checkResource } from './check-resource.ts';
import { findOne, planCriteria } from './conditional.ts';
import { planNew } from './create.ts';
import { checkIfMatch } from './etag.ts';
import { patientRefused, planFlagWrite } from './plan-flag-write.ts';
import { planPatientWrite } from './plan-patient-write.ts';
import { readDeletedPlan } from './plan-references.ts';
import { planSubscriptionWrite } from './plan-subscription-write.ts';
import type { PlannedWrite } from './planned-write.ts';

/** Throws for a body with another id, or without an id if it is required. */
export function refuseOtherId(body: unknown, id: string, type: string, isRequired: boolean): void {
  // A body that is no resource is refused later.
  if (typeof body !== 'object' || body === null || Array.isArray(body)) return;
  const named = 'id' in body ? body.id : undefined;
  if (named === id || (named === undefined && !isRequired)) return;
  throw fault('invalid', 'The id in the body must be the id of the resource that is updated.', {
    expression: [`${type}.id`],
  });
}

/** Returns true if the request names a resource by its id and its version, not by a reference. */
export function namesVersion({ id, ifMatch }: Pick<FhirRequest, 'id' | 'ifMatch'>): boolean {
  return id !== undefined && ifMatch !== undefined;
}

/**
 * Plans the update of the resource with this id to the body of the request. `isVersionNamed`
 * is true if the request names its id and version, and not a reference.
 */
export async function planReplacement(
  request: FhirRequest,
  id: string,
  context: AccessContext,
  view: View,
  ports: InteractionPorts,
  isVersionNamed: boolean,
): Promise<PlannedWrite> {
  const type = request.type ?? '';
  const { caller } = context;
  if (type === 'Patient') {
    refuseOtherId(request.body, id, type, request.id !== undefined);
    const patient = await checkResource<Patient>(request.body, type, ports);
    const { ifMatch, interaction } = request;
    const submission = { patient, requestedId: id, ifMatch, patches: interaction === 'patch' };
    return planPatientWrite(submission, caller, view, ports);
  }
  // The server chooses the ids, so that an absent resource is not created. The fault is the same as for a hidden one.
  const found = await view.read(type, id);
  const revived =
    isVersionNamed && type === 'Flag' ? await readDeletedPlan(request.body, id, found, caller, ports) : undefined;
  const current = visibleToAuthority(revived ?? found, type, caller, notCreatedByUpdate);
  checkIfMatch(request.ifMatch, current.version);
  refuseOtherId(request.body, id, type, request.id !== undefined);
  if (type === 'Flag') {
    const flag = await checkResource<Flag>(request.body, type, ports);
    return planFlagWrite(
      { flag, id, current, isVersionNamed, onlyEnds: request.amendsOnly === true },
      caller,
      view,
      ports,
    );
  }
  const subscription = await checkResource<Subscription>(request.body, 'Subscription', ports);
  return planSubscriptionWrite({ subscription, id, current }, caller, ports);
}

/**
 * Plans an update or conditional update. `newId` is the id of a resource that a conditional update without a match
 * creates. https://hl7.org/fhir/R4/http.html#update
 */
export async function planUpdate(
  request: FhirRequest,
  context: AccessContext,
  view: View,
  ports: InteractionPorts,
  newId: string,
): Promise<PlannedWrite> {
  const type = request.type ?? '';
  authorise(context.caller, type, 'update');
  if (request.id !== undefined) {
    checkId(type, request.id);
    return planReplacement(request, request.id, context, view, ports, namesVersion(request));
  }
  const criteria = planCriteria(type, request.query, context, ports);
  const existing = await findOne(criteria, ports);
  if (existing !== undefined) {
    return planReplacement(request, existing.id, context, view, ports, false);
  }
  if (request.amendsOnly === true) throw patientRefused();
  authorise(context.caller, type, 'create');
  if (request.ifMatch !== undefined) checkIfMatch(request.ifMatch, 0);
  if (type !== 'Patient' && typeof request.body === 'object' && request.body !== null && 'id' in request.body) {
    // A chosen id is refused whether or not it exists, so that it does not disclose another authority's resource.
    throw notCreatedByUpdate();
  }
  const planned = await planNew(request.body, type, context, view, ports, newId, criteria);
  return type === 'Patient' ? planned : { ...planned, access: { ...planned.access, interaction: 'create' } };
}
