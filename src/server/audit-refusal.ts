import type { RefusedRequest } from '../http/server-options.ts';
import { recordRefusal } from '../interactions/audit/record-access.ts';
import type { InteractionPorts } from '../interactions/port/ports.ts';

/**
 * Builds the audit of a request that was refused before its interaction began. Resolves when the AuditEvent is durable.
 * If the AuditEvent cannot be written, rejects with the fault to send in place of the refusal.
 */
export function buildRefusalAudit(
  ports: Pick<InteractionPorts, 'store' | 'newAuditId' | 'clock' | 'baseUrl' | 'endedPlanVisibleDays'>,
): (refused: RefusedRequest) => Promise<void> {
  return async ({ fault, interaction, type, raw, ...context }) => {
    const recorded = await recordRefusal(fault, { interaction, type, raw }, context, ports);
    if (recorded !== fault) throw recorded;
  };
}
