/** The search keys of many AuditEvents in memory, to be written about in the order in which they stand in their table. */

import { type Row, textAt } from '../connection/statements.ts';
import { carriesCodes, parseAuditKeys } from '../encoding/audit-key.ts';

/** The columns of `audit` that are read of an event. */
export const gatheredColumns = 'recordedMs, seq, type, subtype, action, outcome, present, keys';
const keysAt = 7;

/** The columns of audit_key. */
export const keyColumns = 'key, recordedMs, seq, roles, type, subtype, action, outcome, present';

type Value = Row[number];

/** The next key to be written, and the next of its events. */
export interface KeyPosition {
  readonly key: number;
  readonly event: number;
}

export const firstKey: KeyPosition = { key: 0, event: 0 };

export interface SortedKeys {
  /**
   * Gives rows of audit_key from a position on, at most so many: those of a key together, keys in order. What it gives is
   * the next position; undefined: there is no more.
   */
  write(from: KeyPosition, atMost: number, insert: (...row: Value[]) => unknown): KeyPosition | undefined;
}

export interface GatheredKeys {
  readonly events: number;
  /** Of all events together. */
  readonly keys: number;
  /** Takes the `gatheredColumns` of an event. */
  add(event: Row): void;
  /** Nothing may be added after it. */
  sort(): SortedKeys;
}

const noCodes = [null, null, null, null, null];
/** Roles are kept with the number of the event: they are less than this. */
const rolesEnd = 8;
/** A part of another string would keep all of that in memory, and sort slowly. */
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
