/** Requests to the writer thread and its replies. Operations are arrays, because they are cheaper to copy than objects. */

import type { ClaimedDelivery, DeliveryBreach, RequeueOf, Settlement } from '../../delivery-queue.ts';
import type { CommitResult } from '../../write-unit.ts';
import type { IndexProgress } from '../audit-index/index-barrier.ts';
import type { UnitOp } from '../write/unit-op.ts';

export type WriteOp =
  /** The row of an AuditEvent, for a unit that holds nothing else. Most units are of this kind. */
  | string
  | UnitOp
  | readonly ['once', key: string, expiresAtMs: number, nowMs: number]
  | readonly ['claim', authority: string, limit: number, nowMs: number, leaseUntilMs: number, leaseToken: string]
  | readonly ['settle', authority: string, auditId: string, leaseToken: string, settlement: Settlement]
  | readonly ['extend', authority: string, auditId: string, leaseToken: string, leaseUntilMs: number]
  | readonly ['requeue', authority: string, nowMs: number, of: RequeueOf, limit: number]
  | readonly ['hand-over', from: string, to: string | undefined, auditIds: readonly string[], nowMs: number]
  | readonly ['breach', breach: DeliveryBreach]
  | readonly ['number', subscriptionId: string, auditIds: readonly string[]]
  | readonly ['acknowledge', subscriptionId: string, through: number]
  /** Indexes the next chunk, up to `upTo` or the last committed AuditEvent. The last chunk also queues deliveries. */
  | readonly ['index', upTo: number | undefined]
  /** Queues the deliveries of every committed AuditEvent. */
  | readonly ['queue']
  /** Indexes a small chunk, and queues deliveries if enough are waiting. */
  | readonly ['index-step'];

/** The reason why this operation failed. It changed nothing; others in the batch are not affected. */
export interface OpFailure {
  readonly failed: 'full' | 'busy' | 'rejected';
  readonly message: string;
}

/** Whether the result is that of an `index` operation. */
export function isIndexProgress(result: OpResult | undefined): result is IndexProgress {
  return typeof result === 'object' && 'indexed' in result;
}

/** true: it took effect (committed, first use, settled); false: it did not (used before, stale); a number: the count. */
export type OpResult =
  | boolean
  | number
  | Exclude<CommitResult, { kind: 'committed' }>
  | readonly ClaimedDelivery[]
  | readonly number[]
  | IndexProgress
  | OpFailure;

export type WriterRequest = { readonly kind: 'batch'; readonly ops: readonly WriteOp[] } | { readonly kind: 'close' };

export type WriterReply =
  | { readonly kind: 'opened' }
  | { readonly kind: 'done'; readonly results: readonly OpResult[] }
  /** This process can write nothing more. */
  | { readonly kind: 'lost'; readonly message: string }
  | { readonly kind: 'closed' };
