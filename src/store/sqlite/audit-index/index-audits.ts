/**
 * Writes the search keys of AuditEvents that have none yet. Left to later and done for thousands at once, in the order of
 * the keys, they cost a fraction of what they would with each event: the events lie at the end of their table, the keys
 * all over theirs. They are gathered in memory, of committed events only, and then written part by part, with commits in
 * between, so that nobody waits for all of it. Until the last part is written `audit_progress` says that none of them is
 * there, and after a crash all are written again.
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

/** Gathered events that are enough to be written: each page of the table is then written for many of them. */
const enoughEvents = 16_384;
/** Or keys, where events have many. */
const enoughKeys = 8 * enoughEvents;
/** Or the first of them has waited for so long. */
const longestWaitMs = 2_000;
/** Events that are worth a step, the most of one, and how many are read at one time; keys after which it ends. */
const enoughToGather = 128;
const mostToGather = 1_024;
const eventsRead = 64;
const mostKeysToGather = 8_192;
/** Keys that are written in one step: few, as batches wait for it; more where the index falls behind or somebody waits for it. */
const shortPart = 640;
const longPart = 2_000;
const behind = 2 * enoughEvents;

/** The events behind one sequence number, up to another. */
interface Span {
  readonly from: number;
  readonly to: number;
}
interface Gathering extends Span {
  readonly keys: GatheredKeys;
  /** Since when an event for it has been known of. */
  readonly sinceMs: number | undefined;
}
interface Writing extends Span {
  readonly keys: SortedKeys;
}

export interface AuditIndex {
  /** The sequence number up to which AuditEvents have their keys. */
  indexed(): number;
  /** Whether enough waits for a step to be worth it, of the events up to `last`. */
  isDue(last: number): boolean;
  /** Inside a transaction: does a small part. All events up to `last` must be committed. */
  indexSome(last: number): void;
  /** The same, without waiting for more than those up to `last`. Gives up to which event there are keys then. */
  indexUpTo(last: number): number;
}

/** On the connection that writes. `nowMs` never goes backwards. */
export function openAuditIndex(statements: Statements, nowMs: () => number): AuditIndex {
  // How far which span is written: undone with a transaction that is.
  statements.db.exec(`CREATE TEMP TABLE part (start INTEGER, end INTEGER, key INTEGER, event INTEGER);
    INSERT INTO temp.part VALUES (NULL, NULL, NULL, NULL);`);
  const indexed = (): number => readProgress(statements, 'indexed');
  const gatherBehind = (seq: number): Gathering => ({ from: seq, to: seq, keys: gatherKeys(), sinceMs: undefined });

  let writing: Writing | undefined;
  let gathering = gatherBehind(indexed());

  /** What is written is let go; what has been undone is gathered again. Gives up to where events have their keys. */
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

  const isReady = (): boolean => isEnough() || nowMs() - (gathering.sinceMs ?? nowMs()) >= longestWaitMs;

  const gather = (last: number): void => {
    const end = Math.min(last, gathering.to + mostToGather);
    const mostKeys = gathering.keys.keys + mostKeysToGather;
    while (gathering.to < end && gathering.keys.keys < mostKeys && !isEnough()) {
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
    const row = statements.row('SELECT key, event FROM temp.part WHERE start = ? AND end = ?', from, to);
    return row === undefined ? firstKey : { key: numberAt(row, 0), event: numberAt(row, 1) };
  };

  const writePart = (atMost: number): void => {
    if (writing === undefined) return;
    const { from, to, keys } = writing;
    const next = keys.write(positionOf(writing), atMost, (...row) => statements.run(write, ...row));
    if (next === undefined) statements.run('UPDATE audit_progress SET indexed = ?', to);
    else statements.run('UPDATE temp.part SET start = ?, end = ?, key = ?, event = ?', from, to, next.key, next.event);
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
      writePart(last - done < behind ? shortPart : longPart);
    },
    indexUpTo(last) {
      const done = catchUp(last);
      if (done >= last) return done;
      gather(last);
      if (writing === undefined && (gathering.to >= last || isEnough())) startWriting();
      writePart(longPart);
      return indexed();
    },
  };
}
