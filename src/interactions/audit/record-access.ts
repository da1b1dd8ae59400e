import type { AccessFacts } from '../../cpis/access-facts.ts';
import { buildAccessRecord } from '../../cpis/access-record.ts';
import { FhirFault, fault } from '../../fhir/fault.ts';
import type { AuditWrite } from '../../store/store.ts';
import type { AccessContext, FhirRequest } from '../port/interaction.ts';
import type { InteractionPorts } from '../port/ports.ts';
import { findRefusedPatients } from './refused-patients.ts';

/** What an interaction knows of the access that it made; the rest follows from the request and its context. */
export type Access = Pick<AccessFacts, 'patientIds' | 'custodianIds' | 'notifyIds' | 'inAccessHistory'> & {
  readonly resource?: string;
  /** What was done in effect, where it is not the interaction asked for. */
  readonly interaction?: AccessFacts['interaction'];
};

/** An access to no patient, for nobody to be told of. */
export const plainAccess: Access = { patientIds: [], custodianIds: [], notifyIds: [], inAccessHistory: false };

/** What the audit of a refusal needs; `caller` undefined: the token itself was refused. */
export type RefusedContext = Omit<AccessContext, 'caller' | 'handling' | 'preferReturn' | 'unscheduledAccess'> & {
  readonly caller: AccessContext['caller'] | undefined;
};

type AuditedRequest = Pick<FhirRequest, 'interaction' | 'type' | 'raw'>;

/** What the AuditEvent takes from the request itself. */
function describeRequest(request: AuditedRequest, context: RefusedContext) {
  const { interaction, type, raw } = request;
  const { caller, clientAddress, requestId, correlationId } = context;
  return {
    interaction,
    type,
    raw,
    caller,
    clientAddress,
    requestId,
    correlationId,
  };
}

/** The AuditEvent of a successful access, ready for a commit. */
export function buildAudit(
  request: FhirRequest,
  context: AccessContext,
  access: Access,
  ports: InteractionPorts,
): AuditWrite {
  return buildAccessRecord(
    {
      id: ports.newAuditId(),
      recordedMs: ports.clock(),
      outcome: '0',
      interaction: access.interaction ?? request.interaction,
      type: request.type,
      raw: request.raw,
      caller: context.caller,
      clientAddress: context.clientAddress,
      requestId: context.requestId,
      correlationId: context.correlationId,
      patientIds: access.patientIds,
      resource: access.resource,
      custodianIds: access.custodianIds,
      notifyIds: access.notifyIds,
      inAccessHistory: access.inAccessHistory,
    },
    { baseUrl: ports.baseUrl },
  );
}

/**
 * Makes the AuditEvent of a read or search durable, with its deliveries. What is to be disclosed may leave only after
 * this resolves (I1); it throws `transient` when the store cannot take it.
 */
export async function recordAccess(
  request: FhirRequest,
  context: AccessContext,
  access: Access,
  ports: InteractionPorts,
): Promise<void> {
  const audits = [buildAudit(request, context, access, ports)];
  const result = await ports.store.commit({ writes: [], guards: [], audits });
  if (result.kind !== 'committed')
    throw fault(
      'transient',
      'The access could not be recorded, so nothing was disclosed. Try again after Retry-After.',
    );
  ports.committed(audits);
}

/**
 * Makes the AuditEvent of a refused request durable and gives the fault to answer: the one given, or `transient` when
 * the refusal could not be recorded. A transient fault came from a store that takes nothing now, and disclosed nothing.
 * The patients that the request names stand in it when there is a caller: what nobody answers for is not counted as about
 * them.
 */
export async function recordRefusal(
  error: unknown,
  request: AuditedRequest & Pick<FhirRequest, 'body'>,
  context: RefusedContext,
  ports: Pick<InteractionPorts, 'store' | 'newAuditId' | 'clock' | 'baseUrl'>,
): Promise<FhirFault> {
  const refused =
    error instanceof FhirFault
      ? error
      : fault(
          'exception',
          'The server failed, and disclosed nothing. Report the X-Request-ID of this response to its operator.',
          { cause: error },
        );
  if (refused.category === 'transient') return refused;
  const audit = buildAccessRecord(
    {
      ...plainAccess,
      patientIds: context.caller === undefined ? [] : findRefusedPatients(request),
      id: ports.newAuditId(),
      recordedMs: ports.clock(),
      outcome: refused.isServerFailure ? '8' : '4',
      outcomeReason: refused.category,
      ...describeRequest(request, context),
    },
    { baseUrl: ports.baseUrl },
  );
  try {
    await ports.store.commit({ writes: [], guards: [], audits: [audit] });
    return refused;
  } catch (failure) {
    return failure instanceof FhirFault
      ? failure
      : fault('transient', 'The access could not be recorded, so nothing was disclosed. Try again after Retry-After.', {
          cause: failure,
        });
  }
}
