/**
 * Writes the search keys of AuditEvents after their commit. Events are appended to their table, but their keys are spread over
 * the whole of audit_key, so writing the keys of thousands of events together, in key order, costs a fraction of writing them
 * with each event.
 *
 * The keys of committed events are gathered in memory and then written in chunks, with commits in between, so that nothing
 * waits for all of them. `audit_progress` changes only with the last chunk. After a crash all chunks are written again.
 */

import { numberAt, type Statements } from '../connection/statements.ts';
import {
  firstKey,
  type GatheredKeys,
  gatheredColumns,
  gatherKeys,
  type KeyPosition,
  keyColumns,
  type SortedKeys,
} from './gather-keys.ts';
import { readProgress } from './read-progress.ts';

const read = `SELECT ${gatheredColumns} FROM audit WHERE seq > ? AND seq <= ? ORDER BY seq`;
const write = `INSERT INTO audit_key (${keyColumns}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
  ON CONFLICT (key, recordedMs, seq) DO NOTHING`;

/** Number of gathered events from which their keys are written: each page of the table then takes keys of many events. */
const enoughEvents = 16_384;
/** Number of gathered keys with the same effect. */
const enoughKeys = 8 * enoughEvents;
/** How long the first gathered event waits at most. */
const maxWaitMs = 2_000;
/** Minimum number of events for which a step is due. */
const enoughToGather = 128;
/** Maximum number of events that a step gathers. */
const maxEventsGathered = 1_024;
/** Number of keys after which a step stops gathering. */
const maxKeysGathered = 8_192;
/** Number of events read at one time. */
const eventsRead = 64;
/** Number of keys written in one step: few, because batches wait for it, more if the index is behind or a search waits. */
const shortChunk = 640;
const longChunk = 2_000;
/** Number of events without keys from which the index is behind. */
const behind = 2 * enoughEvents;

/** The events after `from`, up to and including `to`. */
interface Span {
  readonly from: number;
  readonly to: number;
}
interface Gathering extends Span {
  readonly keys: GatheredKeys;
  /** When the first event to gather was seen. */
  readonly sinceMs: number | undefined;
}
interface Writing extends Span {
  readonly keys: SortedKeys;
}

export interface AuditIndex {
  /** Returns the sequence number up to which AuditEvents have their keys. */
  indexed(): number;
  /** Whether a step is due, given that events up to `last` are committed. */
  isDue(last: number): boolean;
  /** Takes a small step, inside a transaction. All events up to `last` must be committed. */
  indexSome(last: number): void;
  /** Takes a larger step towards `last` without waiting for more events. Returns up to which event keys exist. */
  indexUpTo(last: number): number;
}

/** Opens the index on the connection that writes. `nowMs` never goes backwards. */
export function openAuditIndex(statements: Statements, nowMs: () => number): AuditIndex {
  // The position in the span being written. It is in the database so that a rollback undoes it too.
  statements.db.exec(`CREATE TEMP TABLE chunk (start INTEGER, end INTEGER, key INTEGER, event INTEGER);
    INSERT INTO temp.chunk VALUES (NULL, NULL, NULL, NULL);`);
  const indexed = (): number => readProgress(statements, 'indexed');
  const gatherBehind = (seq: number): Gathering => ({ from: seq, to: seq, keys: gatherKeys(), sinceMs: undefined });

  let writing: Writing | undefined;
  let gathering = gatherBehind(indexed());

  /** Drops batches that are committed; restarts a batch whose transaction was rolled back. Returns `indexed`. */
  const catchUp = (last: number): number => {
    const done = indexed();
    if (writing !== undefined && done >= writing.to) writing = undefined;
    if (done < (writing ?? gathering).from) {
      writing = undefined;
      gathering = gatherBehind(done);
    }
    if (last > gathering.from) gathering = { ...gathering, sinceMs: gathering.sinceMs ?? nowMs() };
    return done;
  };

  const isEnough = (): boolean => gathering.keys.events >= enoughEvents || gathering.keys.keys >= enoughKeys;

  const isReady = (): boolean => isEnough() || nowMs() - (gathering.sinceMs ?? nowMs()) >= maxWaitMs;

  const gather = (last: number): void => {
    const end = Math.min(last, gathering.to + maxEventsGathered);
    const maxKeys = gathering.keys.keys + maxKeysGathered;
    while (gathering.to < end && gathering.keys.keys < maxKeys && !isEnough()) {
      const to = Math.min(end, gathering.to + eventsRead);
      for (const event of statements.rows(read, gathering.to, to)) gathering.keys.add(event);
      gathering = { ...gathering, to };
    }
  };

  const startWriting = (): void => {
    writing = { from: gathering.from, to: gathering.to, keys: gathering.keys.sort() };
    gathering = gatherBehind(gathering.to);
  };

  const positionOf = ({ from, to }: Span): KeyPosition => {
    const row = statements.row('SELECT key, event FROM temp.chunk WHERE start = ? AND end = ?', from, to);
    return row === undefined ? firstKey : { key: numberAt(row, 0), event: numberAt(row, 1) };
  };

  const writeChunk = (atMost: number): void => {
    if (writing === undefined) return;
    const { from, to, keys } = writing;
    const next = keys.write(positionOf(writing), atMost, (...row) => statements.run(write, ...row));
    if (next === undefined) statements.run('UPDATE audit_progress SET indexed = ?', to);
    else statements.run('UPDATE temp.chunk SET start = ?, end = ?, key = ?, event = ?', from, to, next.key, next.event);
  };

  return {
    indexed,
    isDue(last) {
      catchUp(last);
      return writing !== undefined || isReady() || last - gathering.to >= enoughToGather;
    },
    indexSome(last) {
      const done = catchUp(last);
      gather(last);
      if (writing === undefined && isReady()) startWriting();
      writeChunk(last - done < behind ? shortChunk : longChunk);
    },
    indexUpTo(last) {
      const done = catchUp(last);
      if (done >= last) return done;
      gather(last);
      if (writing === undefined && (gathering.to >= last || isEnough())) startWriting();
      writeChunk(longChunk);
      return indexed();
    },
  };
}
