/** The tables of the embedded store, and the schema version that a database file records. */
import type { DatabaseSync } from 'node:sqlite';
import { StoreStartError } from '../../store-start-error.ts';

/** Recorded as `PRAGMA user_version`. */
export const schemaVersion = 3;
/** Schema versions below this were never released. */
const unreleasedBefore = 3;

/** The `kind` of a row of index_value, and what its columns v1 and v2 hold. Each searchable value is one row. */
export const indexKind = {
  /** code, system ('' for none) */
  token: 1,
  /** id, type */
  reference: 2,
  /** value, system ('' for none) */
  'reference-identifier': 3,
  /** start, end in epoch milliseconds */
  date: 4,
  /** normalised, verbatim */
  string: 5,
  /** value, '' */
  uri: 6,
  /** label, '' (param `_label`) */
  label: 7,
} as const;

/** The `param` of access labels in index_value. No SearchParameter has this name. */
export const labelParam = '_label';

const tables = `
CREATE TABLE resource (
  type TEXT NOT NULL, id TEXT NOT NULL, version INTEGER NOT NULL, revision INTEGER NOT NULL,
  lastUpdatedMs INTEGER NOT NULL, deleted INTEGER NOT NULL, labels TEXT NOT NULL, versionRow INTEGER NOT NULL,
  PRIMARY KEY (type, id)
) STRICT, WITHOUT ROWID;

CREATE TABLE version (
  row INTEGER PRIMARY KEY, type TEXT NOT NULL, id TEXT NOT NULL, version INTEGER NOT NULL,
  lastUpdatedMs INTEGER NOT NULL, method TEXT NOT NULL, labels TEXT NOT NULL, body TEXT,
  UNIQUE (type, id, version)
) STRICT;

-- Each version under each label that its resource had while the version was current. History is read from it.
CREATE TABLE version_label (
  label TEXT NOT NULL, type TEXT NOT NULL, lastUpdatedMs INTEGER NOT NULL, row INTEGER NOT NULL,
  PRIMARY KEY (label, type, lastUpdatedMs, row)
) STRICT, WITHOUT ROWID;

CREATE TABLE index_value (
  type TEXT NOT NULL, id TEXT NOT NULL, param TEXT NOT NULL, kind INTEGER NOT NULL, v1 ANY NOT NULL, v2 ANY NOT NULL,
  PRIMARY KEY (type, id, param, kind, v1, v2)
) STRICT, WITHOUT ROWID;
CREATE INDEX index_value_by_value ON index_value (type, param, kind, v1, id, v2);

CREATE TABLE unique_key (
  key TEXT NOT NULL PRIMARY KEY, type TEXT NOT NULL, id TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX unique_key_by_holder ON unique_key (type, id);

CREATE TABLE used_once (key TEXT NOT NULL PRIMARY KEY, expiresAtMs INTEGER NOT NULL) STRICT, WITHOUT ROWID;
CREATE INDEX used_once_by_expiry ON used_once (expiresAtMs);

-- keys: a JSON object of the search keys of the event, each with its roles; see audit-key.ts.
-- body: the JSON text, with shared texts replaced by their keys in audit_text; see audit-text.ts.
-- deliverTo: a JSON list of the authorities to notify; see queue-deliveries.ts.
CREATE TABLE audit (
  seq INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, recordedMs INTEGER NOT NULL, type TEXT NOT NULL,
  subtype TEXT NOT NULL, action TEXT NOT NULL, outcome TEXT NOT NULL, present INTEGER NOT NULL, keys TEXT NOT NULL,
  body TEXT NOT NULL, deliverTo TEXT NOT NULL
) STRICT;

CREATE TABLE audit_text (key TEXT NOT NULL PRIMARY KEY, text TEXT NOT NULL) STRICT, WITHOUT ROWID;

-- The search keys of events, written in bulk after the events themselves, up to audit_progress.indexed.
-- The columns after roles are set only in the rows of labels and of the shared key, whose ranges are long.
CREATE TABLE audit_key (
  key TEXT NOT NULL, recordedMs INTEGER NOT NULL, seq INTEGER NOT NULL, roles INTEGER NOT NULL,
  type TEXT, subtype TEXT, action TEXT, outcome TEXT, present INTEGER,
  PRIMARY KEY (key, recordedMs, seq)
) STRICT, WITHOUT ROWID;

-- The last event whose search keys, and whose deliveries, have been written.
CREATE TABLE audit_progress (
  one INTEGER PRIMARY KEY CHECK (one = 1), indexed INTEGER NOT NULL, queued INTEGER NOT NULL
) STRICT;
INSERT INTO audit_progress VALUES (1, 0, 0);

CREATE TRIGGER audit_update BEFORE UPDATE ON audit BEGIN SELECT RAISE(ABORT, 'audit is append-only'); END;
CREATE TRIGGER audit_delete BEFORE DELETE ON audit BEGIN SELECT RAISE(ABORT, 'audit is append-only'); END;
CREATE TRIGGER audit_text_update BEFORE UPDATE ON audit_text BEGIN SELECT RAISE(ABORT, 'audit is append-only'); END;
CREATE TRIGGER audit_text_delete BEFORE DELETE ON audit_text BEGIN SELECT RAISE(ABORT, 'audit is append-only'); END;
CREATE TRIGGER audit_key_update BEFORE UPDATE ON audit_key BEGIN SELECT RAISE(ABORT, 'audit is append-only'); END;
CREATE TRIGGER audit_key_delete BEFORE DELETE ON audit_key BEGIN SELECT RAISE(ABORT, 'audit is append-only'); END;

-- Undelivered deliveries of the events up to audit_progress.queued.
-- ready = 1: can be claimed from dueMs on. ready = 0: leased (leaseToken) or backing off, until waitUntilMs.
-- ready = 2: unmatched since waitUntilMs, counted in delivery_unwanted and not in delivery_count.
CREATE TABLE delivery (
  authority TEXT NOT NULL, ready INTEGER NOT NULL, recordedMs INTEGER NOT NULL, seq INTEGER NOT NULL,
  dueMs INTEGER NOT NULL, waitUntilMs INTEGER NOT NULL, leaseToken TEXT, attempts INTEGER NOT NULL,
  acknowledgedBy TEXT NOT NULL, reason TEXT, parked INTEGER NOT NULL DEFAULT 0,
  PRIMARY KEY (authority, ready, recordedMs, seq)
) STRICT, WITHOUT ROWID;
CREATE INDEX delivery_waiting ON delivery (authority, waitUntilMs) WHERE ready = 0;
CREATE INDEX delivery_leased ON delivery (authority) WHERE leaseToken IS NOT NULL;
CREATE INDEX delivery_set_apart ON delivery (authority, waitUntilMs) WHERE ready = 2;
CREATE INDEX delivery_parked ON delivery (authority, recordedMs) WHERE parked = 1;

CREATE TABLE delivery_unwanted (authority TEXT NOT NULL PRIMARY KEY, count INTEGER NOT NULL) STRICT, WITHOUT ROWID;

CREATE TABLE delivery_breach (
  authority TEXT NOT NULL, kind TEXT NOT NULL, oldestRecordedMs INTEGER NOT NULL, atMs INTEGER NOT NULL,
  undelivered INTEGER NOT NULL,
  PRIMARY KEY (authority, kind, oldestRecordedMs)
) STRICT, WITHOUT ROWID;
CREATE INDEX delivery_breach_by_time ON delivery_breach (atMs);

CREATE TABLE delivered (
  authority TEXT NOT NULL, seq INTEGER NOT NULL, atMs INTEGER NOT NULL, attempts INTEGER NOT NULL,
  acknowledgedBy TEXT NOT NULL,
  PRIMARY KEY (authority, seq)
) STRICT, WITHOUT ROWID;

CREATE TABLE delivery_count (
  authority TEXT NOT NULL PRIMARY KEY, undelivered INTEGER NOT NULL, delivered INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE subscription_event (
  subscription TEXT NOT NULL, number INTEGER NOT NULL, auditId TEXT NOT NULL, PRIMARY KEY (subscription, number)
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX subscription_event_by_audit ON subscription_event (subscription, auditId);

CREATE TABLE subscription_acknowledged (
  subscription TEXT NOT NULL PRIMARY KEY, number INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
`;

/** Creates the tables in a new database. Throws if a newer program wrote the file, or if it is not a store. */
export function openSchema(db: DatabaseSync): void {
  const found = Number(db.prepare('PRAGMA user_version').get()?.['user_version']);
  if (found > schemaVersion) {
    throw new StoreStartError(
      `The database has schema version ${found}. This program supports ${schemaVersion}: run the newer program that wrote it.`,
    );
  }
  if (found === schemaVersion) return;
  if (found > 0 && found < unreleasedBefore) {
    throw new StoreStartError(
      `The database has schema version ${found}, which only unreleased programs wrote: use a new data folder.`,
    );
  }
  if (db.prepare('SELECT 1 FROM sqlite_schema LIMIT 1').get() !== undefined) {
    throw new StoreStartError(
      'The database file has tables but no schema version, so this program did not write it: use another data folder.',
    );
  }
  db.exec(`BEGIN IMMEDIATE; ${tables} PRAGMA user_version = ${schemaVersion}; COMMIT;`);
}
