import { DatabaseSync } from 'node:sqlite';
import { ensurePrivateFile, takeFromOthers } from '../../files/exposure.ts';
import type { Notification, NotifiedEvent } from './read-notification.ts';

/** A notification that was received, or a response to a request of the receiver's own. */
export interface Received {
  readonly notification: Notification;
  readonly receivedMs: number;
  /** The signed headers and the unchanged body, which prove the sender. Undefined for a response to an own request. */
  readonly proof: { readonly headers: string; readonly body: Uint8Array } | undefined;
}

/** A stored access event. */
export interface StoredEvent {
  /** Order of arrival, from 1. */
  readonly seq: number;
  readonly id: string;
  readonly receivedMs: number;
  /** The JSON text of the AuditEvent; null if the server reported the event without its content. */
  readonly resource: string | null;
  readonly subscription: string | null;
  readonly number: number | null;
}

export interface Recorded {
  /** Ids of events that were stored already. */
  readonly repeated: readonly string[];
  /** Plain texts for the operator. */
  readonly warnings: readonly string[];
  /** Subscription id -> last event number stored here, for Subscriptions whose event numbers have gone back. */
  readonly regressions: ReadonlyMap<string, number>;
}

interface Recording extends Recorded {
  readonly repeated: string[];
  readonly warnings: string[];
  readonly regressions: Map<string, number>;
}

/** The durable store of received events. Each event is stored once, however often and in whatever form it arrives. */
export interface Inbox {
  /** Stores a batch atomically and durably. Throws if that fails. */
  record(batch: readonly Received[]): Recorded;
  /** Returns the stored events after `seq`, in order of arrival. */
  eventsAfter(seq: number): Iterable<StoredEvent>;
  /** Returns the first `limit` ranges of event numbers without a known event, each of at most `maxNumbers` numbers. */
  findGaps(
    maxNumbers: number,
    limit: number,
  ): readonly { readonly subscription: string; readonly from: number; readonly to: number }[];
  /** Returns ids of events that were reported without their content. */
  findPending(limit: number): readonly string[];
  /** Marks event numbers as lost, because the server no longer has them. They are not requested again. */
  giveUpNumbers(subscription: string, from: number, to: number): void;
  /** Stores a pending event without its content, because the server does not return it. */
  giveUpContent(id: string, receivedMs: number): void;
  /** Progress of the output: the last `seq` that was written, and the length of the file. */
  output: { readonly seq: number; readonly bytes: number };
  counts(): { readonly events: number; readonly missing: number };
  close(): void;
}

const schema = `
CREATE TABLE IF NOT EXISTS message (id INTEGER PRIMARY KEY, receivedMs INTEGER NOT NULL, headers TEXT NOT NULL, body BLOB NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS event (
  seq INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, receivedMs INTEGER NOT NULL, times INTEGER NOT NULL DEFAULT 1,
  resource TEXT, message INTEGER REFERENCES message (id)
) STRICT;
CREATE TABLE IF NOT EXISTS number (
  subscription TEXT NOT NULL, number INTEGER NOT NULL, event TEXT, givenUp INTEGER NOT NULL DEFAULT 0,
  PRIMARY KEY (subscription, number)
) STRICT, WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS number_by_event ON number (event);
CREATE TABLE IF NOT EXISTS subscription (id TEXT PRIMARY KEY, newest INTEGER NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS pending (id TEXT PRIMARY KEY) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS output (one INTEGER PRIMARY KEY CHECK (one = 1), seq INTEGER NOT NULL, bytes INTEGER NOT NULL) STRICT;
INSERT OR IGNORE INTO output VALUES (1, 0, 0);
`;

/**
 * Opens the inbox file, readable by its owner only. If `fetches` is true, an event without content is stored once its
 * content has been fetched; otherwise it is stored without.
 */
export function openInbox(file: string, { fetches }: { readonly fetches: boolean }): Inbox {
  ensurePrivateFile(file);
  for (const log of ['-wal', '-shm']) takeFromOthers(`${file}${log}`);
  const db = new DatabaseSync(file);
  db.exec('PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA busy_timeout = 5000;');
  db.exec(schema);
  const insertMessage = db.prepare('INSERT INTO message (receivedMs, headers, body) VALUES (?, ?, ?)');
  const insertEvent = db.prepare('INSERT OR IGNORE INTO event (id, receivedMs, resource, message) VALUES (?, ?, ?, ?)');
  const repeat = db.prepare('UPDATE event SET times = times + 1, resource = coalesce(resource, ?) WHERE id = ?');
  const findEvent = db.prepare('SELECT 1 FROM event WHERE id = ?');
  const insertNumber = db.prepare(`INSERT INTO number (subscription, number, event) VALUES (?, ?, ?)
    ON CONFLICT DO UPDATE SET event = excluded.event WHERE event IS NULL`);
  const findNumber = db.prepare('SELECT event FROM number WHERE subscription = ? AND number = ?');
  const findNewest = db.prepare('SELECT newest FROM subscription WHERE id = ?');
  const raiseNewest = db.prepare(`INSERT INTO subscription VALUES (?, ?)
    ON CONFLICT DO UPDATE SET newest = excluded.newest WHERE excluded.newest > newest`);
  const addPending = db.prepare('INSERT OR IGNORE INTO pending VALUES (?)');
  const dropPending = db.prepare('DELETE FROM pending WHERE id = ?');
  const setOutput = db.prepare('UPDATE output SET seq = ?, bytes = ?');
  const knownNumbers = db.prepare(`SELECT number FROM number
    WHERE subscription = ? AND number >= ? AND (event IS NOT NULL OR givenUp = 1) ORDER BY number`);
  let output = db.prepare('SELECT seq, bytes FROM output').get() as { seq: number; bytes: number };
  let savedSeq = output.seq;

  function recordEvent(
    event: NotifiedEvent,
    received: Received,
    messageOf: () => number | null,
    recorded: Recording,
  ): void {
    const subscription = received.notification.subscription?.id;
    const { number, resource } = event;
    const id = event.id ?? (fetches || subscription === undefined ? undefined : `${subscription}/${number}`);
    if (id !== undefined) {
      if (findEvent.get(id) !== undefined) {
        repeat.run(resource ?? null, id);
        recorded.repeated.push(id);
      } else if (resource === undefined && fetches) addPending.run(id);
      else {
        insertEvent.run(id, received.receivedMs, resource ?? null, messageOf());
        dropPending.run(id);
      }
    }
    if (subscription === undefined || number === undefined) return;
    const known = findNumber.get(subscription, number)?.['event'];
    if (typeof known === 'string' && id !== undefined && known !== id && event.id !== undefined) {
      recorded.warnings.push(
        `event number ${number} was used for two events; the server may have been restored from a backup`,
      );
      recorded.regressions.set(subscription, newestOf(subscription));
    }
    insertNumber.run(subscription, number, id ?? null);
  }

  const newestOf = (subscription: string): number => Number(findNewest.get(subscription)?.['newest'] ?? 0);

  function recordOne(received: Received, recorded: Recording): void {
    const { notification, proof, receivedMs } = received;
    let message: number | null = null;
    const messageOf = (): number | null => {
      if (proof !== undefined)
        message ??= Number(insertMessage.run(receivedMs, proof.headers, proof.body).lastInsertRowid);
      return message;
    };
    for (const event of notification.events) recordEvent(event, received, messageOf, recorded);
    if (notification.subscription === undefined) return;
    const { id, newest } = notification.subscription;
    const known = newestOf(id);
    // A response to an own request may be older than a notification received since, so only notifications count.
    if (newest < known && notification.events.length === 0 && proof !== undefined) {
      recorded.warnings.push('the event numbers have gone back; the server may have been restored from a backup');
      recorded.regressions.set(id, known);
    }
    raiseNewest.run(id, newest);
  }

  function inTransaction(task: () => void): void {
    db.exec('BEGIN IMMEDIATE');
    try {
      task();
      if (savedSeq !== output.seq) setOutput.run(output.seq, output.bytes);
      db.exec('COMMIT');
      savedSeq = output.seq;
    } catch (error) {
      if (db.isTransaction) db.exec('ROLLBACK');
      throw error;
    }
  }

  /**
   * Subscription id -> first event number that may be missing. Numbers below it are complete and are not read again.
   */
  const settled = new Map<string, number>();

  function* gapsOf(subscription: string, newest: number, maxNumbers: number) {
    let next = settled.get(subscription) ?? 1;
    const upTo = function* (end: number) {
      for (; next < end; next += maxNumbers)
        yield { subscription, from: next, to: Math.min(end - 1, next + maxNumbers - 1) };
    };
    let isWhole = true;
    for (const { number } of knownNumbers.iterate(subscription, next) as Iterable<{ number: number }>) {
      if (isWhole) settled.set(subscription, next);
      isWhole &&= number === next;
      yield* upTo(number);
      next = number + 1;
    }
    if (isWhole) settled.set(subscription, next);
    yield* upTo(newest + 1);
  }

  const findSubscriptions = db.prepare('SELECT id, newest FROM subscription');
  function* allGaps(maxNumbers: number) {
    const subscriptions = findSubscriptions.all() as { id: string; newest: number }[];
    for (const { id, newest } of subscriptions) yield* gapsOf(id, newest, maxNumbers);
  }

  return {
    record(batch) {
      const recorded: Recording = { repeated: [], warnings: [], regressions: new Map() };
      inTransaction(() => {
        for (const received of batch) recordOne(received, recorded);
      });
      return recorded;
    },
    eventsAfter: (seq) =>
      db
        .prepare(
          `SELECT event.seq, event.id, event.receivedMs, event.resource, number.subscription, number.number FROM event
             LEFT JOIN number ON number.event = event.id WHERE event.seq > ? GROUP BY event.seq ORDER BY event.seq`,
        )
        .iterate(seq) as unknown as Iterable<StoredEvent>,
    findGaps: (maxNumbers, limit) => allGaps(maxNumbers).take(limit).toArray(),
    findPending: (limit) =>
      (db.prepare('SELECT id FROM pending LIMIT ?').all(limit) as { id: string }[]).map(({ id }) => id),
    giveUpNumbers(subscription, from, to) {
      const giveUp = db.prepare(`INSERT INTO number (subscription, number, givenUp) VALUES (?, ?, 1)
        ON CONFLICT DO UPDATE SET givenUp = 1 WHERE event IS NULL`);
      inTransaction(() => {
        for (let number = from; number <= to; number += 1) giveUp.run(subscription, number);
      });
    },
    giveUpContent(id, receivedMs) {
      inTransaction(() => {
        insertEvent.run(id, receivedMs, null, null);
        dropPending.run(id);
      });
    },
    get output() {
      return output;
    },
    set output(next) {
      output = next;
    },
    counts: () => ({
      events: Number(db.prepare('SELECT count(*) AS n FROM event').get()?.['n']),
      missing: allGaps(Number.MAX_SAFE_INTEGER).reduce((sum, { from, to }) => sum + to - from + 1, 0),
    }),
    close() {
      inTransaction(() => undefined);
      db.close();
    },
  };
}
