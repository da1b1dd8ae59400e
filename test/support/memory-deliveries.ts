import type {
  AuditWrite,
  ClaimedDelivery,
  DeliveryBacklog,
  DeliveryBreach,
  DeliveryQueue,
  OwedDelivery,
  RequeueOf,
  Settlement,
} from '../../src/store/store.ts';

/** One delivery. Tests read the last three members. */
interface Row {
  readonly audit: AuditWrite;
  authority: string;
  readonly order: number;
  state: 'pending' | 'unmatched' | 'delivered' | 'passed';
  dueMs: number;
  lease: { readonly token: string; readonly untilMs: number } | undefined;
  unmatchedMs: number;
  attempts: number;
  parked: boolean;
  acknowledgedBy: readonly string[];
}

/** An in-memory delivery queue for simulations. It passes the contract tests of deliveries. */
export interface MemoryDeliveries extends DeliveryQueue {
  add(audits: readonly AuditWrite[]): void;
  /** Drops all leases, as the embedded store does when it opens, because nobody else can hold one. */
  dropLeases(): void;
  rows(): readonly Readonly<Row>[];
}

const earliest = (values: readonly number[]): number | undefined =>
  values.length === 0 ? undefined : Math.min(...values);
const byAge = (a: Row, b: Row): number => a.audit.recordedMs - b.audit.recordedMs || a.order - b.order;

export function openMemoryDeliveries(): MemoryDeliveries {
  const rows: Row[] = [];
  const byId = new Map<string, Row>();
  const known: DeliveryBreach[] = [];
  let tokens = 0;

  const of = (authority: string, state: Row['state']): Row[] =>
    rows.filter((row) => row.authority === authority && row.state === state).sort(byAge);
  const find = ({ authority, auditId }: ClaimedDelivery): Row | undefined => byId.get(`${authority}/${auditId}`);
  const holds = (row: Row, { leaseToken }: ClaimedDelivery): boolean =>
    row.state === 'pending' && row.lease?.token === leaseToken;

  function claim(authority: string, limit: number, nowMs: number, leaseUntilMs: number): ClaimedDelivery[] {
    const aheadMs = leaseUntilMs + (leaseUntilMs - nowMs);
    const mayClaim = ({ lease, dueMs }: Row): boolean =>
      lease === undefined ? dueMs <= nowMs : lease.untilMs <= nowMs || lease.untilMs > aheadMs;
    const due = of(authority, 'pending').filter(mayClaim).slice(0, limit);
    tokens += 1;
    return due.map((row) => {
      row.lease = { token: `lease-${tokens}`, untilMs: leaseUntilMs };
      const { audit, attempts, acknowledgedBy, parked } = row;
      const { id: auditId, recordedMs, body } = audit;
      return { auditId, authority, recordedMs, body, attempts, acknowledgedBy, parked, leaseToken: row.lease.token };
    });
  }

  function settle(claimed: ClaimedDelivery, settlement: Settlement): boolean {
    const row = find(claimed);
    if (row === undefined || row.state === 'delivered') return false;
    if (settlement.kind === 'delivered') {
      row.state = 'delivered';
      row.parked = false;
    } else if (!holds(row, claimed)) return false;
    row.lease = undefined;
    if (settlement.kind === 'unmatched') {
      row.state = 'unmatched';
      row.parked = false;
      row.unmatchedMs = settlement.atMs;
    }
    if (settlement.kind === 'failed') {
      row.dueMs = settlement.dueMs;
      row.attempts += settlement.spendAttempt ? 1 : 0;
      row.parked ||= settlement.park === true;
    }
    if ('acknowledgedBy' in settlement) {
      row.acknowledgedBy = [...new Set([...row.acknowledgedBy, ...settlement.acknowledgedBy])];
    }
    return true;
  }

  function requeue(authority: string, nowMs: number, what: RequeueOf, limit: number): number {
    if (what === 'unmatched' || what === 'unmatched-ahead') {
      const isMeant = (row: Row): boolean => (what === 'unmatched' ? row.unmatchedMs < nowMs : row.unmatchedMs > nowMs);
      const back = of(authority, 'unmatched').filter(isMeant);
      back.sort((a, b) => a.unmatchedMs - b.unmatchedMs || byAge(a, b));
      for (const row of back.slice(0, limit)) Object.assign(row, { state: 'pending', dueMs: row.audit.recordedMs });
      return Math.min(back.length, limit);
    }
    const waits = (row: Row): boolean => (what === 'parked' ? row.parked : row.dueMs > nowMs);
    const free = of(authority, 'pending').filter((row) => row.lease === undefined && waits(row));
    for (const row of free.slice(0, limit)) {
      row.dueMs = nowMs;
      if (what === 'parked') Object.assign(row, { parked: false, attempts: 0 });
    }
    return Math.min(free.length, limit);
  }

  function handOver(from: string, to: string | undefined, auditIds: readonly string[], nowMs: number): string[] {
    return auditIds.filter((id) => {
      const row = byId.get(`${from}/${id}`);
      if (row === undefined || (row.state !== 'pending' && row.state !== 'unmatched')) return false;
      row.lease = undefined;
      if (to === undefined || byId.has(`${to}/${id}`)) {
        row.state = 'passed';
        return false;
      }
      byId.delete(`${from}/${id}`);
      byId.set(`${to}/${id}`, row);
      const fresh = { state: 'pending', dueMs: nowMs, attempts: 0, parked: false, acknowledgedBy: [] };
      Object.assign(row, { authority: to, ...fresh });
      return true;
    });
  }

  function backlogOf(authority: string): DeliveryBacklog {
    const pending = of(authority, 'pending');
    const recorded = (parked: boolean) =>
      earliest(pending.filter((row) => row.parked === parked).map(({ audit }) => audit.recordedMs));
    return {
      authority,
      undelivered: pending.length,
      leased: pending.filter(({ lease }) => lease !== undefined).length,
      parked: pending.filter(({ parked }) => parked).length,
      unmatched: of(authority, 'unmatched').length,
      delivered: of(authority, 'delivered').length,
      oldestRecordedMs: recorded(false),
      oldestParkedMs: recorded(true),
      oldestUnmatchedMs: earliest(of(authority, 'unmatched').map(({ audit }) => audit.recordedMs)),
      nextDueMs: earliest(pending.map(({ lease, dueMs }) => lease?.untilMs ?? dueMs)),
    };
  }

  return {
    add: (audits) => {
      for (const audit of audits) {
        for (const authority of audit.deliverTo) {
          const row: Row = {
            audit,
            authority,
            order: rows.length,
            state: 'pending',
            dueMs: audit.recordedMs,
            lease: undefined,
            unmatchedMs: 0,
            attempts: 0,
            parked: false,
            acknowledgedBy: [],
          };
          rows.push(row);
          byId.set(`${authority}/${audit.id}`, row);
        }
      }
    },
    dropLeases: () => {
      for (const row of rows) row.lease = undefined;
    },
    rows: () => rows,
    claim: async (...call) => claim(...call),
    settle: async (...call) => settle(...call),
    extend: async (claimed, untilMs) => {
      const row = find(claimed);
      if (row === undefined || !holds(row, claimed)) return false;
      row.lease = { token: claimed.leaseToken, untilMs };
      return true;
    },
    backlog: async () => [...new Set(rows.map(({ authority }) => authority))].sort().map(backlogOf),
    requeue: async (...call) => requeue(...call),
    handOver: async (...call) => handOver(...call),
    recordBreach: async (breach) => {
      const same = ({ authority, kind, oldestRecordedMs }: DeliveryBreach): boolean =>
        authority === breach.authority && kind === breach.kind && oldestRecordedMs === breach.oldestRecordedMs;
      if (known.some(same)) return false;
      known.push(breach);
      return true;
    },
    breaches: async (limit, authority) =>
      known
        .filter((breach) => authority === undefined || breach.authority === authority)
        .sort((a, b) => b.atMs - a.atMs)
        .slice(0, limit),
    owed: async (authority, limit, after?: OwedDelivery) => {
      const pending = of(authority, 'pending');
      const behind = after === undefined ? undefined : byId.get(`${authority}/${after.auditId}`);
      const page = behind === undefined ? pending : pending.filter((row) => byAge(behind, row) < 0);
      return page.slice(0, limit).map(({ audit }) => ({ auditId: audit.id, recordedMs: audit.recordedMs }));
    },
  };
}
