import { chmodSync, closeSync, openSync } from 'node:fs';
import { DatabaseSync } from 'node:sqlite';
import type { Told, ToldEvent } from './read-notification.ts';

/** A notification that arrived, or an answer that was asked for. */
export interface Arrived {
  readonly told: Told;
  readonly receivedMs: number;
  /** What proves who said it: the signed headers, and the body as it came. Undefined: asked for by ourselves. */
  readonly proof: { readonly headers: string; readonly body: Uint8Array } | undefined;
}

/** One access, as it is kept. */
export interface KeptEvent {
  /** Order of arrival, from 1. */
  readonly seq: number;
  readonly id: string;
  readonly receivedMs: number;
  /** The JSON text of the AuditEvent; null: the server told that there was one, and no more. */
  readonly resource: string | null;
  readonly subscription: string | null;
  readonly number: number | null;
}

export interface Recorded {
  /** Events that were known, by id. */
  readonly repeated: readonly string[];
  /** What an operator should look at, in words. */
  readonly warnings: readonly string[];
  /** Subscriptions whose numbers the server has given anew, with the last number that is known here. */
  readonly behind: ReadonlyMap<string, number>;
}

interface Recording extends Recorded {
  readonly repeated: string[];
  readonly warnings: string[];
  readonly behind: Map<string, number>;
}

/** What has been received, once and for all: each event once, whatever form told of it and how often. */
export interface Inbox {
  /** All of it or, when it throws, nothing; durable when it returns. */
  record(batch: readonly Arrived[]): Recorded;
  /** Events after a place in the order of arrival. */
  eventsAfter(seq: number): Iterable<KeptEvent>;
  /** The first `limit` ranges of event numbers that nothing is known of, or no id; each of at most `most` numbers. */
  findGaps(
    most: number,
    limit: number,
  ): readonly { readonly subscription: string; readonly from: number; readonly to: number }[];
  /** Ids of events that were told of without their content. */
  findPending(limit: number): readonly string[];
  /** The server has these no more: they are not asked for again. */
  giveUpNumbers(subscription: string, from: number, to: number): void;
  /** The server does not give the content of a pending event: it is kept without. */
  giveUpContent(id: string, receivedMs: number): void;
  /** How far the output is: place in the order of arrival, and length of the file. */
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
 * Opens the inbox file, readable by its owner only. `fetches`: content that was not sent along will be asked for, so that an event is
 * kept when it has come; otherwise it is kept without.
 */
export function openInbox(file: string, { fetches }: { readonly fetches: boolean }): Inbox {
  closeSync(openSync(file, 'a', 0o600));
  chmodSync(file, 0o600);
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

  function recordEvent(event: ToldEvent, arrived: Arrived, messageOf: () => number | null, recorded: Recording): void {
    const subscription = arrived.told.subscription?.id;
    const { number, resource } = event;
    const id = event.id ?? (fetches || subscription === undefined ? undefined : `${subscription}/${number}`);
    if (id !== undefined) {
      if (findEvent.get(id) !== undefined) {
        repeat.run(resource ?? null, id);
        recorded.repeated.push(id);
      } else if (resource === undefined && fetches) addPending.run(id);
      else {
        insertEvent.run(id, arrived.receivedMs, resource ?? null, messageOf());
        dropPending.run(id);
      }
    }
    if (subscription === undefined || number === undefined) return;
    const known = findNumber.get(subscription, number)?.['event'];
    if (typeof known === 'string' && id !== undefined && known !== id && event.id !== undefined) {
      recorded.warnings.push(`event number ${number} was given to two events: was the server restored from a backup?`);
      recorded.behind.set(subscription, newestOf(subscription));
    }
    insertNumber.run(subscription, number, id ?? null);
  }

  const newestOf = (subscription: string): number => Number(findNewest.get(subscription)?.['newest'] ?? 0);

  function recordOne(arrived: Arrived, recorded: Recording): void {
    const { told, proof, receivedMs } = arrived;
    let message: number | null = null;
    const messageOf = (): number | null => {
      if (proof !== undefined)
        message ??= Number(insertMessage.run(receivedMs, proof.headers, proof.body).lastInsertRowid);
      return message;
    };
    for (const event of told.events) recordEvent(event, arrived, messageOf, recorded);
    if (told.subscription === undefined) return;
    const { id, newest } = told.subscription;
    const known = newestOf(id);
    // What an earlier question was answered with may be older than what has come since.
    if (newest < known && told.events.length === 0 && proof !== undefined) {
      recorded.warnings.push('the event numbers went back: was the server restored from a backup?');
      recorded.behind.set(id, known);
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

  /** The first number of each Subscription that may be missing: what is known once stays known. */
  const settled = new Map<string, number>();

  function* gapsOf(subscription: string, newest: number, most: number) {
    let next = settled.get(subscription) ?? 1;
    const upTo = function* (end: number) {
      for (; next < end; next += most) yield { subscription, from: next, to: Math.min(end - 1, next + most - 1) };
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
  function* allGaps(most: number) {
    const subscriptions = findSubscriptions.all() as { id: string; newest: number }[];
    for (const { id, newest } of subscriptions) yield* gapsOf(id, newest, most);
  }

  return {
    record(batch) {
      const recorded: Recording = { repeated: [], warnings: [], behind: new Map() };
      inTransaction(() => {
        for (const arrived of batch) recordOne(arrived, recorded);
      });
      return recorded;
    },
    eventsAfter: (seq) =>
      db
        .prepare(
          `SELECT event.seq, event.id, event.receivedMs, event.resource, number.subscription, number.number FROM event
             LEFT JOIN number ON number.event = event.id WHERE event.seq > ? GROUP BY event.seq ORDER BY event.seq`,
        )
        .iterate(seq) as unknown as Iterable<KeptEvent>,
    findGaps: (most, limit) => allGaps(most).take(limit).toArray(),
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
