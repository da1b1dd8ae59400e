/** The counters of delivery_count. Each batch collects its changes and writes them once, at its end. */
import type { Statements } from '../connection/statements.ts';

export interface DeliveryCounts {
  add(authority: string, undelivered: number, delivered: number): void;
  /** Writes the collected changes, inside the transaction of the batch. */
  write(): void;
  /** Drops the collected changes. */
  clear(): void;
}

const addTo = `INSERT INTO delivery_count VALUES (?, ?, ?) ON CONFLICT (authority) DO UPDATE
  SET undelivered = undelivered + excluded.undelivered, delivered = delivered + excluded.delivered`;

/** Returns counters without changes, on the connection that writes. */
export function buildDeliveryCounts(statements: Statements): DeliveryCounts {
  const changes = new Map<string, { undelivered: number; delivered: number }>();
  return {
    add(authority, undelivered, delivered) {
      const change = changes.get(authority);
      if (change === undefined) changes.set(authority, { undelivered, delivered });
      else {
        change.undelivered += undelivered;
        change.delivered += delivered;
      }
    },
    write() {
      for (const [authority, { undelivered, delivered }] of changes)
        statements.run(addTo, authority, undelivered, delivered);
    },
    clear: () => changes.clear(),
  };
}
