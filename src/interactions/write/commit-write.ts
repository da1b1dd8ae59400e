import type { Caller } from '../../cpis/caller.ts';
import { londonDate } from '../../cpis/london-date.ts';
import { refuseOutOfTerm } from '../../cpis/succession.ts';
import { fault } from '../../fhir/fault.ts';
import type { CommitResult } from '../../store/store.ts';
import { buildWriteAudits } from '../audit/record-access.ts';
import type { AccessContext, FhirAnswer, FhirRequest } from '../port/interaction.ts';
import type { InteractionPorts } from '../port/ports.ts';
import { overlayView, storeView, type View } from '../resource/view.ts';
import { inTurns } from '../yielding/in-turns.ts';
import { planCreate } from './create.ts';
import { planDelete } from './delete.ts';
import { parseIfMatch } from './etag.ts';
import { planPatch } from './patch.ts';
import { referenceTaken } from './plan-references.ts';
import type { PlannedWrite } from './planned-write.ts';
import { reviewChildren } from './review-children.ts';
import { planUpdate } from './update.ts';

/** Maximum times a write is planned, if the records it depends on keep changing. */
export const maxPlans = 100;

/** Throws for a condition that is not supported for a write, because ignoring it could overwrite a resource. */
function refuseIfNoneMatch({ ifNoneMatch }: FhirRequest): void {
  if (ifNoneMatch === undefined) return;
  throw fault(
    'not-supported',
    'If-None-Match is supported only for reads. Use If-Match or If-None-Exist for a write.',
    {
      expression: ['http.If-None-Match'],
    },
  );
}

/** Plans a create, update, patch or delete on the view. `newId` is the id of a resource that it creates. */
export function planWrite(
  request: FhirRequest,
  context: AccessContext,
  view: View,
  ports: InteractionPorts,
  newId: string,
): Promise<PlannedWrite> {
  // Check these before any read, so that the refusal does not disclose what is stored.
  parseIfMatch(request.ifMatch);
  refuseIfNoneMatch(request);
  refuseOutOfTerm(context.caller, request.type ?? '', londonDate(ports.clock()));
  switch (request.interaction) {
    case 'create':
      return planCreate(request, context, view, ports, newId);
    case 'update':
      return planUpdate(request, context, view, ports, newId);
    case 'patch':
      return planPatch(request, context, view, ports);
    default:
      return planDelete(request, context, view, ports);
  }
}

/** Rejects if the refusal is final; resolves if the write should be planned again. */
export async function checkRefusal(
  result: Extract<CommitResult, { kind: 'refused' }>,
  caller: Caller,
  ports: InteractionPorts,
): Promise<void> {
  if (result.reason === 'duplicate-key') throw await referenceTaken(result.existingId, caller, ports);
  if (result.reason === 'multiple-matches') {
    throw fault('precondition', 'The criteria match more than one resource. Narrow them.', {
      code: 'multiple-matches',
    });
  }
}

/** Returns the fault for a write that was planned too often, because others kept changing what it depends on. */
export function contended(): Error {
  return fault(
    'transient',
    'Other clients kept changing the same record. Nothing was stored: try again after Retry-After.',
    {
      retryAfterS: 1,
    },
  );
}

/** Plans one write and makes it durable together with its AuditEvent and deliveries. Returns its answer. */
export async function commitWrite(
  request: FhirRequest,
  context: AccessContext,
  ports: InteractionPorts,
): Promise<FhirAnswer> {
  const newId = ports.newId();
  for (let round = 0; round < maxPlans; round += 1) {
    await inTurns(ports.prepareValidation());
    const view = overlayView(storeView(ports.store));
    const planned = await planWrite(request, context, view, ports, newId);
    view.add(planned.writes, planned.guards);
    await planned.check?.(view);
    const own = context.caller.organisation.id;
    const { guards, audits: events, alarms } = await reviewChildren(planned, { own }, view, ports);
    const audits = [...buildWriteAudits(request, context, planned, ports), ...events];
    const { writes } = planned;
    const result = await ports.store.commit({ writes, guards, audits });
    if (result.kind === 'committed') {
      ports.committed(audits);
      ports.childEvents(alarms);
      planned.committed?.();
      return planned.answer;
    }
    await checkRefusal(result, context.caller, ports);
  }
  throw contended();
}
