/** What the main thread asks of the writer thread and what it answers: cheap to copy, so arrays rather than objects. */

import type {
  ClaimedDelivery,
  CommitResult,
  DeliveryBreach,
  RequeueOf,
  RevisionGuard,
  Settlement,
} from '../../store.ts';
import type { IndexProgress } from '../audit-index/index-barrier.ts';

/** `kind, param, v1, v2`; see `indexKind`. */
export type IndexRow = readonly [kind: number, param: string, v1: string | number, v2: string | number];

export interface CompiledSql {
  readonly sql: string;
  readonly params: readonly (string | number | null)[];
}

export interface WriteRow {
  readonly type: string;
  readonly id: string;
  readonly version: number;
  readonly lastUpdatedMs: number;
  readonly body: string | null;
  readonly method: string;
  readonly labels: readonly string[];
  readonly index: readonly IndexRow[];
  readonly uniqueKeys: readonly string[];
  /** Selects the ids of what matches, two at most. */
  readonly ifNoneExist: CompiledSql | undefined;
}

export type UnitOp = readonly [
  kind: 'unit',
  writes: readonly WriteRow[],
  guards: readonly RevisionGuard[],
  /** As `renderAuditRow` gives them. */
  audits: readonly string[],
];

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
