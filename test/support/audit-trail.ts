import { randomUUID } from 'node:crypto';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import type { AuditEvent } from 'fhir/r4.js';
import { requestIdType } from '../../src/cpis/audit-codes.ts';
import { openOwed, readStoredAudits, type StoredAudit } from './stored-audits.ts';

/** What the store holds of one access, read past the server. */
export interface TrailEntry {
  readonly event: AuditEvent;
  readonly subtype: string;
  readonly outcome: string;
  readonly patients: readonly string[];
  readonly custodians: readonly string[];
  readonly labels: readonly string[];
  /** Authorities that it was or is to be delivered to. */
  readonly owed: readonly string[];
}

export interface AuditTrail {
  /** The AuditEvents of a request, by its X-Request-ID. */
  of(requestId: string): TrailEntry[];
  count(): number;
}

const without = (reference: string | undefined): string => (reference ?? '').replace(/^[A-Za-z]+\//, '');

/** Opens the database of a running world for reading; closes with the test. */
export function openAuditTrail(t: { teardown(close: () => unknown): unknown }, folder: string): AuditTrail {
  const db = new DatabaseSync(join(folder, 'data', 'store.sqlite'), { readOnly: true });
  t.teardown(() => db.close());
  const owedOf = openOwed(db);
  const byRequest = new Map<string, (StoredAudit & { readonly event: AuditEvent })[]>();
  let lastSeq = 0;
  /** Those written since this was called last: each is read once, however many requests are asked for. */
  const readOn = (): void => {
    for (const stored of readStoredAudits(db, 'seq > ?', lastSeq)) {
      lastSeq = stored.seq;
      const event: AuditEvent = JSON.parse(stored.body);
      const request = event.entity?.find(({ type }) => type?.code === requestIdType.code);
      const requestId = request?.what?.identifier?.value ?? '';
      byRequest.set(requestId, [...(byRequest.get(requestId) ?? []), { ...stored, event }]);
    }
  };
  return {
    of: (requestId) => {
      readOn();
      return (byRequest.get(requestId) ?? []).map(({ seq, subtype, outcome, labels, event }) => {
        const agents = event.agent.filter((agent) => agent.type?.coding?.[0]?.code === 'custodian');
        const patients = (event.entity ?? []).filter((entity) => entity.role?.code === '1');
        return {
          event,
          subtype,
          outcome,
          labels,
          patients: patients.map((entity) => without(entity.what?.reference)),
          custodians: agents.map((agent) => without(agent.who?.reference)),
          owed: owedOf(seq),
        };
      });
    },
    count: () => Number(db.prepare('SELECT count(*) AS n FROM audit').get()?.['n']),
  };
}

/** A header that names the request, and the name. */
export function namedRequest(): { readonly id: string; readonly headers: Record<string, string> } {
  const id = randomUUID();
  return { id, headers: { 'x-request-id': id } };
}
