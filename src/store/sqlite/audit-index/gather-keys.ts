/** Collects the search keys of many AuditEvents in memory, to write them almost in the order of their table. */

import { type Row, textAt } from '../connection/statements.ts';
import { carriesCodes, parseAuditKeys } from '../encoding/audit-key.ts';

/** The columns of `audit` that `GatheredKeys.add` takes. */
export const gatheredColumns = 'recordedMs, seq, type, subtype, action, outcome, present, keys';
const keysAt = 7;

/** The columns of audit_key. */
export const keyColumns = 'key, recordedMs, seq, roles, type, subtype, action, outcome, present';

type Value = Row[number];

/** The next key to write, and the next of its events. */
export interface KeyPosition {
  readonly key: number;
  readonly event: number;
}

export const firstKey: KeyPosition = { key: 0, event: 0 };

export interface SortedKeys {
  /** Emits up to `atMost` audit_key rows from `from`, ordered by key. Returns the next position, or undefined at the end. */
  write(from: KeyPosition, atMost: number, insert: (...row: Value[]) => unknown): KeyPosition | undefined;
}

export interface GatheredKeys {
  readonly events: number;
  /** Total number of keys of all events. */
  readonly keys: number;
  /** Adds an event, a row with `gatheredColumns`. */
  add(event: Row): void;
  /** Returns the keys in order. Do not add events afterwards. */
  sort(): SortedKeys;
}

const noCodes = [null, null, null, null, null];
/** Roles are packed with the number of the event into one integer; they are less than this. */
const rolesEnd = 8;
/** Copies a substring, because a slice keeps the whole string in memory and sorts slowly. */
const ownText = (text: string): string => JSON.parse(JSON.stringify(text));

export function gatherKeys(): GatheredKeys {
  const events: Row[] = [];
  const eventsOf = new Map<string, number[]>();
  let count = 0;

  const rowOf = (key: string, packed: number): readonly Value[] => {
    const [recordedMs = null, seq = null, ...codes] = events[Math.floor(packed / rolesEnd)] ?? [];
    return [key, recordedMs, seq, packed % rolesEnd, ...(carriesCodes(key) ? codes : noCodes)];
  };

  return {
    get events() {
      return events.length;
    },
    get keys() {
      return count;
    },
    add(event) {
      for (const [key, roles] of parseAuditKeys(textAt(event, keysAt))) {
        count += 1;
        const packed = events.length * rolesEnd + roles;
        const of = eventsOf.get(key);
        if (of === undefined) eventsOf.set(ownText(key), [packed]);
        else of.push(packed);
      }
      events.push(event.slice(0, keysAt));
    },
    sort() {
      const keys = [...eventsOf.keys()].sort();
      return {
        write(from, atMost, insert) {
          let left = atMost;
          for (let at = from.key; at < keys.length; at += 1) {
            const key = keys[at] ?? '';
            const of = eventsOf.get(key) ?? [];
            const start = at === from.key ? from.event : 0;
            const end = Math.min(of.length, start + left);
            for (const packed of of.slice(start, end)) insert(...rowOf(key, packed));
            if (end < of.length) return { key: at, event: end };
            left -= end - start;
          }
          return undefined;
        },
      };
    },
  };
}
