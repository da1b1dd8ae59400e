/** The tables that an export copies. */
import type { CopyKind } from '../../store-copy.ts';

export interface Table {
  readonly columns: string;
  readonly from: string;
  /** A unique order. Its columns are the first of `columns`. */
  readonly order: readonly string[];
}

export const copyTables: Readonly<Record<CopyKind, Table>> = {
  resource: { columns: 'type, id, revision, labels', from: 'resource', order: ['type', 'id'] },
  audit: {
    columns: 'seq, id, recordedMs, type, subtype, action, outcome, keys, body',
    from: 'audit',
    order: ['seq'],
  },
  usedOnce: { columns: 'key, expiresAtMs', from: 'used_once', order: ['key'] },
  deliveryCount: {
    columns: 'c.authority, c.delivered, coalesce(u.count, 0)',
    from: 'delivery_count c LEFT JOIN delivery_unwanted u ON u.authority = c.authority',
    order: ['c.authority'],
  },
  breach: {
    columns: 'authority, kind, oldestRecordedMs, atMs, undelivered',
    from: 'delivery_breach',
    order: ['authority', 'kind', 'oldestRecordedMs'],
  },
  subscriptionEvent: {
    columns: 'subscription, number, auditId',
    from: 'subscription_event',
    order: ['subscription', 'number'],
  },
  acknowledged: { columns: 'subscription, number', from: 'subscription_acknowledged', order: ['subscription'] },
};

/** Selects values of which any use of the store changes at least one. */
export const fingerprintSql = `SELECT
  (SELECT count(*) || ':' || coalesce(max(row), 0) FROM version), (SELECT coalesce(sum(revision), 0) FROM resource),
  (SELECT coalesce(max(seq), 0) FROM audit), (SELECT id FROM audit ORDER BY seq LIMIT 1),
  (SELECT id FROM audit ORDER BY seq DESC LIMIT 1),
  (SELECT count(*) || ':' || coalesce(sum(attempts + ready + parked + dueMs), 0) FROM delivery),
  (SELECT coalesce(sum(delivered), 0) FROM delivery_count), (SELECT count(*) FROM used_once),
  (SELECT count(*) FROM delivery_breach), (SELECT count(*) FROM subscription_event),
  (SELECT coalesce(sum(number), 0) FROM subscription_acknowledged)`;
