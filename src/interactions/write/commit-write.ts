import { fault } from '../../fhir/fault.ts';
import type { CommitResult } from '../../store/store.ts';
import { buildAudit } from '../audit/record-access.ts';
import type { AccessContext, FhirAnswer, FhirRequest } from '../port/interaction.ts';
import type { InteractionPorts } from '../port/ports.ts';
import { storeView, type View } from '../resource/view.ts';
import { planCreate } from './create.ts';
import { planDelete } from './delete.ts';
import { parseIfMatch } from './etag.ts';
import { planPatch } from './patch.ts';
import type { PlannedWrite } from './planned-write.ts';
import { planUpdate } from './update.ts';

/** How often a write is planned anew when what it was planned on has changed in the meantime. */
export const maxPlans = 100;

/** A condition that a write does not know must not be passed over. */
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

/** Plans a create, update, patch or delete on what the view shows. `newId` is the id of what it creates. */
export function planWrite(
  request: FhirRequest,
  context: AccessContext,
  view: View,
  ports: InteractionPorts,
  newId: string,
): Promise<PlannedWrite> {
  // Before anything is looked up: the refusal tells nothing of what is there.
  parseIfMatch(request.ifMatch);
  refuseIfNoneMatch(request);
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

/** Throws for a refusal that planning again would not change; returns when it would. */
export function checkRefusal(result: Extract<CommitResult, { kind: 'refused' }>): void {
  if (result.reason === 'duplicate-key') {
    throw fault(
      'conflict',
      'This authority has another plan with the same identifier. Amend that plan, or use another identifier.',
      {
        code: 'duplicate',
        expression: ['Flag.identifier'],
      },
    );
  }
  if (result.reason === 'multiple-matches') {
    throw fault('precondition', 'The criteria match more than one resource. Narrow them.', {
      code: 'multiple-matches',
    });
  }
}

/** 503 after too many rounds: others kept changing what this write depends on. */
export function contended(): Error {
  return fault(
    'transient',
    'Other clients kept changing the same record. Nothing was stored: try again after Retry-After.',
    {
      retryAfterS: 1,
    },
  );
}

/** Makes one write durable together with its AuditEvent and deliveries, and gives the answer. */
export async function commitWrite(
  request: FhirRequest,
  context: AccessContext,
  ports: InteractionPorts,
): Promise<FhirAnswer> {
  const view = storeView(ports.store);
  const newId = ports.newId();
  for (let round = 0; round < maxPlans; round += 1) {
    const planned = await planWrite(request, context, view, ports, newId);
    const audits = [buildAudit(request, context, planned.access, ports)];
    const { writes, guards } = planned;
    const result = await ports.store.commit({ writes, guards, audits });
    if (result.kind === 'committed') {
      ports.committed(audits);
      planned.committed?.();
      return planned.answer;
    }
    checkRefusal(result);
  }
  throw contended();
}
