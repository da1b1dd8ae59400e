/** The search keys of many AuditEvents in memory, to be written in the order in which they stand in their table. */
import { carriesCodes, parseAuditKeys } from './audit-key.ts';
import { numberAt, type Row, textAt } from './statements.ts';

/** The columns of `audit` that are read of an event. */
export const gatheredColumns = 'seq, recordedMs, type, subtype, action, outcome, present, keys';

/** The columns of audit_key. */
export const keyColumns = 'key, recordedMs, seq, roles, type, subtype, action, outcome, present';

export type KeyRow = readonly (string | number | null)[];

export interface GatheredKeys {
  /** Of so many events. */
  readonly events: number;
  /** Takes the `gatheredColumns` of an event. */
  add(event: Row): void;
  /** What is to be written: the rows of a key together, keys in order. */
  rows(): readonly KeyRow[];
}

export function gatherKeys(): GatheredKeys {
  const rowsOf = new Map<string, KeyRow[]>();
  let events = 0;
  return {
    get events() {
      return events;
    },
    add(event) {
      events += 1;
      const [seq, recordedMs] = [numberAt(event, 0), numberAt(event, 1)];
      const codes = [textAt(event, 2), textAt(event, 3), textAt(event, 4), textAt(event, 5), numberAt(event, 6)];
      for (const [key, roles] of parseAuditKeys(textAt(event, 7))) {
        const row = [key, recordedMs, seq, roles, ...(carriesCodes(key) ? codes : noCodes)];
        const rows = rowsOf.get(key);
        if (rows === undefined) rowsOf.set(key, [row]);
        else rows.push(row);
      }
    },
    rows: () => [...rowsOf.keys()].sort().flatMap((key) => rowsOf.get(key) ?? []),
  };
}

const noCodes = [null, null, null, null, null];
