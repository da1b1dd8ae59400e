import { buildAccessRecord } from './access-record.ts';

/** A change that the server itself makes to a resource of an authority. */
export interface OwnChange {
  /** Id of the AuditEvent. */
  readonly id: string;
  readonly recordedMs: number;
  /** A UUID in place of the id of a request. */
  readonly requestId: string;
  readonly type: string;
  readonly resourceId: string;
  readonly ownerId: string | undefined;
}

/** Builds the AuditEvent of such a change. The owner may see it; nobody is notified. */
export function recordOwnChange(change: OwnChange, baseUrl: string): ReturnType<typeof buildAccessRecord> {
  const { id, recordedMs, requestId, type, resourceId, ownerId } = change;
  return buildAccessRecord(
    {
      id,
      recordedMs,
      requestId,
      interaction: 'update',
      type,
      outcome: '0',
      caller: undefined,
      byServer: true,
      clientAddress: '',
      raw: '',
      patientIds: [],
      resource: `${type}/${resourceId}`,
      custodianIds: ownerId === undefined ? [] : [ownerId],
      notifyIds: [],
      inAccessHistory: false,
    },
    { baseUrl },
  );
}
