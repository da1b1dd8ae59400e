/** What the main thread asks of the writer thread and what it answers: cheap to copy, so arrays rather than objects. */

import type { ClaimedDelivery, DeliveryBreach, RequeueOf, Settlement } from '../../delivery-queue.ts';
import type { CommitResult } from '../../write-unit.ts';
import type { IndexProgress } from '../audit-index/index-barrier.ts';
import type { UnitOp } from '../write/unit-op.ts';

export type WriteOp =
  /** A unit of one AuditEvent and nothing else, which most are: its row. */
  | string
  | UnitOp
  | readonly ['once', key: string, expiresAtMs: number, nowMs: number]
  | readonly ['claim', authority: string, limit: number, nowMs: number, leaseUntilMs: number, leaseToken: string]
  | readonly ['settle', authority: string, auditId: string, leaseToken: string, settlement: Settlement]
  | readonly ['extend', authority: string, auditId: string, leaseToken: string, leaseUntilMs: number]
  | readonly ['requeue', authority: string, nowMs: number, of: RequeueOf, limit: number]
  | readonly ['breach', breach: DeliveryBreach]
  | readonly ['number', subscriptionId: string, auditIds: readonly string[]]
  | readonly ['acknowledge', subscriptionId: string, through: number]
  /**
   * Does a part of what makes AuditEvents searchable: those up to a sequence number, or else all that are committed now; the
   * last part queues deliveries too.
   */
  | readonly ['index', upTo: number | undefined]
  /** Queues the deliveries of every AuditEvent so far. */
  | readonly ['queue']
  /** Does a part of the index, and queues deliveries where enough wait. */
  | readonly ['index-step'];

/** `failed`: this operation alone changed nothing, and why. */
export interface OpFailure {
  readonly failed: 'full' | 'busy' | 'rejected';
  readonly message: string;
}

/** Whether it is what `index` answers. */
export function isIndexProgress(result: OpResult | undefined): result is IndexProgress {
  return typeof result === 'object' && 'indexed' in result;
}

/** true: done (committed, first use, settled, ...); false: not (used before, stale); a number: how many. */
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
  /** Nothing more can be written by this process. */
  | { readonly kind: 'lost'; readonly message: string }
  | { readonly kind: 'closed' };
