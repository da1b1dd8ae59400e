import { buildAccessRecord } from './access-record.ts';

/** A change that the server makes to a resource of an authority, without being asked. */
export interface OwnChange {
  /** Of the AuditEvent. */
  readonly id: string;
  readonly recordedMs: number;
  /** Names the change where a request names itself: a UUID. */
  readonly requestId: string;
  readonly type: string;
  readonly resourceId: string;
  readonly ownerId: string | undefined;
}

/** The AuditEvent of such a change: the owner may see it, nobody is notified of it. */
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
