import { buildAccessRecord } from './access-record.ts';

/** A plan that passed from an authority to its successor. */
export interface PassedPlan {
  /** Id of the AuditEvent. */
  readonly id: string;
  readonly recordedMs: number;
  readonly planId: string;
  readonly patientId: string;
  readonly from: string;
  readonly to: string;
  readonly vestingDay: string;
  readonly notifyIds: readonly string[];
}
export function recordTransfer(passed: PassedPlan, baseUrl: string): ReturnType<typeof buildAccessRecord> {
  const { id, recordedMs, planId, patientId, from, to, notifyIds } = passed;
  return buildAccessRecord(
    {
      id,
      recordedMs,
      requestId: id,
      interaction: 'update',
      type: 'Flag',
      outcome: '0',
      caller: undefined,
      byServer: true,
      clientAddress: '',
      raw: '',
      patientIds: [patientId],
      resource: `Flag/${planId}`,
      custodianIds: [from, to],
      notifyIds,
      inAccessHistory: false,
    },
    { baseUrl },
  );
}
