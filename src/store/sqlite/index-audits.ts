/**
 * Writes the search keys of AuditEvents that have none yet. Left to later and done for thousands at once, in the order of
 * the keys, they cost a fraction of what they would with each event: the events lie at the end of their table, the keys
 * all over theirs. They are gathered and sorted in memory first and then written part by part, with commits in between,
 * so that nobody waits for all of it. Until the last part is written `audit_progress` says that none of them is there, and
 * after a crash all are written again.
 */
import { numberAt, type Row, type Statements, textAt } from './statements.ts';

/** Rows of references carry no codes, and they alone have roles. */
const code = (column: string): string => `iif(k.atom, NULL, a.${column})`;

const columns = 'key, recordedMs, seq, roles, type, subtype, action, outcome, present';

const gather = `INSERT INTO temp.gathered_key (${columns})
  SELECT k.key, a.recordedMs, a.seq, k.atom, ${['type', 'subtype', 'action', 'outcome', 'present'].map(code).join(', ')}
  FROM audit a CROSS JOIN json_each(a.keys) k WHERE a.seq > ? AND a.seq <= ?`;

/** The last row of a part that begins behind a position. */
const partEnd = `SELECT key, recordedMs, seq FROM temp.gathered_key WHERE (key, recordedMs, seq) > (?, ?, ?)
  ORDER BY key, recordedMs, seq LIMIT 1 OFFSET ?`;

const writePart = `INSERT OR IGNORE INTO audit_key (${columns}) SELECT ${columns} FROM temp.gathered_key
  WHERE (key, recordedMs, seq) > (?, ?, ?) AND (key, recordedMs, seq) <= (?, ?, ?) ORDER BY key, recordedMs, seq`;

/** Behind every key: the rest of what is gathered. */
const theEnd: Position = ['\u{10ffff}', 0, 0];
const theStart: Position = ['', 0, 0];

type Position = readonly [key: string, recordedMs: number, seq: number];

/** Gathered events that are enough to be written. */
const enoughGathered = 4_096;

interface Step {
  /** Events whose keys are gathered in it. */
  readonly events: number;
  /** Or keys that are written in it. */
  readonly keys: number;
}

/** Short, as batches wait for it. */
const shortStep: Step = { events: 128, keys: 640 };
/** Where so many events wait that the index would fall behind. */
const longStep: Step = { events: 512, keys: 2_000 };
const longFrom = 1_024;

export interface AuditIndex {
  /** The sequence number up to which AuditEvents have their keys. */
  indexed(): number;
  /** Whether enough waits for a step to be worth it, of the events up to `last`. */
  isDue(last: number): boolean;
  /** Inside a transaction: does a small part. Gives the sequence number up to which it has gathered. */
  indexSome(last: number): number;
  /** Inside a transaction: every event up to `last` has its keys. */
  indexAll(last: number): void;
}

/** On the connection that writes; what it has gathered goes with it. */
export function openAuditIndex(statements: Statements): AuditIndex {
  statements.db.exec(`
    CREATE TEMP TABLE gathered_key (
      key TEXT NOT NULL, recordedMs INTEGER NOT NULL, seq INTEGER NOT NULL, roles INTEGER NOT NULL,
      type TEXT, subtype TEXT, action TEXT, outcome TEXT, present INTEGER,
      PRIMARY KEY (key, recordedMs, seq)
    ) STRICT, WITHOUT ROWID;
    CREATE TEMP TABLE gathered (seq INTEGER NOT NULL, writing INTEGER NOT NULL, key TEXT, recordedMs INTEGER, keySeq INTEGER);
    INSERT INTO temp.gathered SELECT indexed, 0, '', 0, 0 FROM audit_progress;
  `);

  const indexed = (): number => numberAt(one(statements, 'SELECT indexed FROM audit_progress'), 0);

  /** What has been gathered, in the transaction's own sight: undone with it. */
  const progress = () => {
    const row = one(statements, 'SELECT seq, writing, key, recordedMs, keySeq FROM temp.gathered');
    const position: Position = [textAt(row, 2), numberAt(row, 3), numberAt(row, 4)];
    return { seq: numberAt(row, 0), writing: numberAt(row, 1) === 1, position };
  };

  const gatherUpTo = (from: number, to: number): void => {
    if (to <= from) return;
    statements.run(gather, from, to);
    statements.run('UPDATE temp.gathered SET seq = ?', to);
  };

  const write = (from: Position, seq: number, atMost: number): void => {
    const end = statements.row(partEnd, ...from, atMost - 1);
    const to: Position = end === undefined ? theEnd : [textAt(end, 0), numberAt(end, 1), numberAt(end, 2)];
    statements.run(writePart, ...from, ...to);
    if (end !== undefined) {
      statements.run('UPDATE temp.gathered SET writing = 1, key = ?, recordedMs = ?, keySeq = ?', ...to);
      return;
    }
    statements.run('DELETE FROM temp.gathered_key');
    statements.run("UPDATE temp.gathered SET writing = 0, key = '', recordedMs = 0, keySeq = 0");
    statements.run('UPDATE audit_progress SET indexed = ?', seq);
  };

  return {
    indexed,
    isDue: (last) => {
      const { seq, writing } = progress();
      return writing || last - seq >= shortStep.events;
    },
    indexSome: (last) => {
      const { seq, writing, position } = progress();
      const step = last - seq < longFrom ? shortStep : longStep;
      if (writing) {
        write(position, seq, step.keys);
        return seq;
      }
      const to = Math.min(last, seq + step.events);
      gatherUpTo(seq, to);
      if (to - indexed() >= enoughGathered) statements.run('UPDATE temp.gathered SET writing = 1');
      return to;
    },
    indexAll: (last) => {
      const { seq, writing, position } = progress();
      // What is gathered now may belong before what has been written already.
      if (writing) write(position, seq, Number.MAX_SAFE_INTEGER);
      gatherUpTo(seq, last);
      if (Math.max(seq, last) > indexed()) write(theStart, Math.max(seq, last), Number.MAX_SAFE_INTEGER);
    },
  };
}

function one(statements: Statements, sql: string): Row {
  const row = statements.row(sql);
  if (row === undefined) throw new Error('the progress of the index has no row');
  return row;
}
