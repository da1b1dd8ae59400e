import type { Flag, Patient, Subscription } from 'fhir/r4.js';
import { authorise } from '../../cpis/access-policy.ts';
import { fault } from '../../fhir/fault.ts';
import type { SearchPlan } from '../../fhir/search/ast.ts';
import type { AccessContext, FhirRequest } from '../port/interaction.ts';
import type { InteractionPorts } from '../port/ports.ts';
import type { View } from '../resource/view.ts';
import { checkResource } from './check-resource.ts';
import { findOne, planCriteria } from './conditional.ts';
import { checkIfMatch } from './etag.ts';
import { planFlagWrite } from './plan-flag-write.ts';
import { planPatientWrite } from './plan-patient-write.ts';
import { planSubscriptionWrite } from './plan-subscription-write.ts';
import type { PlannedWrite } from './planned-write.ts';
import { answerExisting } from './resource-write.ts';

/**
 * Plans a create or conditional create. `id` is the id of a new Flag or Subscription; the id of a Patient is its NHS
 * number. https://hl7.org/fhir/R4/http.html#create
 */
export async function planCreate(
  request: FhirRequest,
  context: AccessContext,
  view: View,
  ports: InteractionPorts,
  id: string,
): Promise<PlannedWrite> {
  const type = request.type ?? '';
  authorise(context.caller, type, 'create');
  // If-Match can name no version, because nothing is there yet.
  checkIfMatch(request.ifMatch, 0);
  let ifNoneExist: SearchPlan | undefined;
  if (request.ifNoneExist !== undefined) {
    const params = [...new URLSearchParams(request.ifNoneExist.replace(/^\?/, ''))];
    ifNoneExist = planCriteria(type, params, context, ports);
    const existing = await findOne(ifNoneExist, ports);
    if (existing !== undefined) return answerExisting(existing, context.caller, ports);
  }
  return planNew(request.body, type, context, view, ports, id, ifNoneExist);
}

/** Plans a new resource of the type from a request body. */
export async function planNew(
  body: unknown,
  type: string,
  context: AccessContext,
  view: View,
  ports: InteractionPorts,
  id: string,
  ifNoneExist: SearchPlan | undefined,
): Promise<PlannedWrite> {
  const { caller } = context;
  switch (type) {
    case 'Patient': {
      const patient = await checkResource<Patient>(body, type, ports);
      return planPatientWrite({ patient, requestedId: undefined, ifMatch: undefined }, caller, view, ports);
    }
    case 'Flag': {
      const flag = await checkResource<Flag>(body, type, ports);
      return onlyIf(
        ifNoneExist,
        await planFlagWrite({ flag, id, current: undefined, isVersionNamed: false }, caller, view, ports),
        ports,
      );
    }
    case 'Subscription': {
      const subscription = await checkResource<Subscription>(body, type, ports);
      return onlyIf(
        ifNoneExist,
        await planSubscriptionWrite({ subscription, id, current: undefined }, caller, ports),
        ports,
      );
    }
    default:
      throw fault('not-supported', 'Clients cannot create this resource type.');
  }
}

/**
 * Adds a condition to the write: the commit refuses it if a resource meets the criteria by then. If one does while the write is
 * checked, a refusal may be about that resource, so the commit decides.
 */
function onlyIf(ifNoneExist: SearchPlan | undefined, planned: PlannedWrite, ports: InteractionPorts): PlannedWrite {
  if (ifNoneExist === undefined) return planned;
  const { check } = planned;
  return {
    ...planned,
    writes: planned.writes.map((write) => ({ ...write, ifNoneExist })),
    ...(check === undefined
      ? {}
      : {
          check: async (unit) => {
            try {
              await check(unit);
            } catch (error) {
              if ((await findOne(ifNoneExist, ports)) === undefined) throw error;
            }
          },
        }),
  };
}
