import type { AccessFacts } from '../../cpis/access-facts.ts';
import { buildAccessRecord } from '../../cpis/access-record.ts';
import { isSilent } from '../../cpis/audience.ts';
import { FhirFault, fault } from '../../fhir/fault.ts';
import type { AuditWrite } from '../../store/store.ts';
import type { AccessContext, FhirRequest } from '../port/interaction.ts';
import type { InteractionPorts } from '../port/ports.ts';
import { findRefusedHolders, findRefusedPatients } from './refused-patients.ts';

/** Facts of an access that only the interaction knows. The others follow from the request and its context. */
export type Access = Pick<AccessFacts, 'patientIds' | 'custodianIds' | 'notifyIds' | 'inAccessHistory' | 'isSilent'> & {
  readonly resource?: string;
  /** The interaction that took effect, if it is not the requested one. */
  readonly interaction?: AccessFacts['interaction'];
};

/** An access to no patient, of which nobody is notified. */
export const plainAccess: Access = { patientIds: [], custodianIds: [], notifyIds: [], inAccessHistory: false };

/** Context of a refused request. `caller` is undefined if the token was refused. */
export type RefusedContext = Omit<AccessContext, 'caller' | 'handling' | 'preferReturn' | 'unscheduledAccess'> & {
  readonly caller: AccessContext['caller'] | undefined;
  readonly unscheduledAccess?: boolean | undefined;
};

type RefusalPorts = Pick<InteractionPorts, 'store' | 'newAuditId' | 'clock' | 'baseUrl' | 'endedPlanVisibleDays'>;

type AuditedRequest = Pick<FhirRequest, 'interaction' | 'type' | 'raw'>;

/** Returns the facts that the request itself contains. */
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

/** Builds the AuditEvent of a successful access, ready to be committed. */
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
      isSilent: access.isSilent,
    },
    { baseUrl: ports.baseUrl },
  );
}

/** Builds the AuditEvents of a write: one, or one for each patient of a plan that moves. */
export function buildWriteAudits(
  request: FhirRequest,
  context: AccessContext,
  { access, accessFrom }: { readonly access: Access; readonly accessFrom?: Access },
  ports: InteractionPorts,
): AuditWrite[] {
  const accesses = accessFrom === undefined ? [access] : [accessFrom, access];
  return accesses.map((each) => buildAudit(request, context, each, ports));
}

/**
 * Makes the AuditEvent of a read or search durable, with its deliveries. Nothing may be disclosed before this resolves
 * (I1). Rejects with `transient` if the store cannot take it.
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
 * Makes the AuditEvent of a refused request durable, and returns the fault to answer: the refusal itself, or
 * `transient` if it could not be recorded. A fault that is `transient` already is not recorded: the store takes nothing
 * at present, and nothing was disclosed. Without a caller, the patients that the request names are left out, because
 * nobody is accountable for it. The authorities that hold the one child of a refused look-up see it.
 */
export async function recordRefusal(
  error: unknown,
  request: AuditedRequest & Pick<FhirRequest, 'body'>,
  context: RefusedContext,
  ports: RefusalPorts,
): Promise<FhirFault> {
  const refused =
    error instanceof FhirFault
      ? error
      : fault(
          'exception',
          'The server failed, and disclosed nothing. Report the X-Request-ID of this response to its operator.',
          { cause: error },
        );
  // Nothing was done, and the AuditEvents of a client that sends too much would fill the store.
  if (refused.category === 'transient' || refused.category === 'throttled') return refused;
  const patientIds = context.caller === undefined ? [] : findRefusedPatients(request);
  const describe = (custodianIds: readonly string[]): AccessFacts => ({
    ...plainAccess,
    patientIds,
    custodianIds,
    isSilent: context.caller !== undefined && isSilent(context.caller, context.unscheduledAccess),
    id: ports.newAuditId(),
    recordedMs: ports.clock(),
    outcome: refused.isServerFailure ? '8' : '4',
    outcomeReason: refused.category,
    ...describeRequest(request, context),
  });
  try {
    const holders = await findRefusedHolders(patientIds, context.caller, ports);
    const audit = buildAccessRecord(describe(holders), { baseUrl: ports.baseUrl });
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
