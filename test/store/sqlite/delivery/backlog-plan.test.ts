import { join } from 'node:path';
import t, { type Test } from 'tap';
import { openConnection } from '../../../../src/store/sqlite/connection/connection.ts';
import { openSchema } from '../../../../src/store/sqlite/connection/schema.ts';
import { openStatements, type Statements } from '../../../../src/store/sqlite/connection/statements.ts';
import { applyClaim } from '../../../../src/store/sqlite/delivery/apply-delivery.ts';
import { readBacklog } from '../../../../src/store/sqlite/delivery/read-backlog.ts';
import { openTextEncoder } from '../../../../src/store/sqlite/encoding/audit-text.ts';
import { encodeUnit } from '../../../../src/store/sqlite/write/encode-unit.ts';
import { openBatches } from '../../../../src/store/sqlite/writer/apply-batch.ts';
import { audit, unit } from '../../../contract/fixtures.ts';
import { openExplainer } from '../explain.ts';

/** Opens a backlog of deliveries, and records the statements that run with the number of rows that they return or change. */
function openBacklog(t: Test, events: number) {
  const db = openConnection({ file: join(t.testdir(), 'store.sqlite'), use: 'write' });
  t.teardown(() => db.close());
  openSchema(db);
  const statements = openStatements(db);
  const encoder = openTextEncoder();
  const batches = openBatches(db);
  const ops = Array.from({ length: events }, (_, at) => {
    const written = unit({ audits: [audit(`a${at}`, { recordedMs: at, deliverTo: ['E1'] })] });
    return encodeUnit(written, encoder).op;
  });
  batches.apply([...ops, ['queue']]);
  const ran = new Map<string, number>();
  const note = (sql: string, rows: number): void => void ran.set(sql, (ran.get(sql) ?? 0) + rows);
  const recorded: Statements = {
    db,
    run(sql, ...params) {
      const result = statements.run(sql, ...params);
      note(sql, Number(result.changes));
      return result;
    },
    row(sql, ...params) {
      const row = statements.row(sql, ...params);
      note(sql, row === undefined ? 0 : 1);
      return row;
    },
    rows(sql, ...params) {
      const rows = statements.rows(sql, ...params);
      note(sql, rows.length);
      return rows;
    },
  };
  return {
    claim: (nowMs: number) => applyClaim(recorded, (body) => body, 'E1', 10, nowMs, nowMs + 60_000, 'token'),
    backlog: () => readBacklog(recorded),
    ran,
  };
}

t.test('claiming and counting read the same rows, in the order of an index, whatever the backlog', async (t) => {
  const ranOf = (t: Test, events: number): ReadonlyMap<string, number> => {
    const { claim, backlog, ran } = openBacklog(t, events);
    for (let round = 0; round < 20; round++) {
      t.equal(claim(1_000_000)[0]?.auditId, `a${round * 10}`);
      t.match(backlog(), [{ undelivered: events, leased: (round + 1) * 10, oldestRecordedMs: 0 }]);
    }
    return ran;
  };
  const { scans, sorts } = openExplainer(t);
  const [few, many] = [ranOf(t, 300), ranOf(t, 3_000)];
  t.same([...many], [...few], 'the same statements return and change the same number of rows');
  t.equal(many.size, 5, 'two to promote, one to claim, one to lease, one for the backlog');
  for (const sql of many.keys()) {
    t.same(scans(sql), [], sql);
    // SQLite may sort rows that are equal in the first column of the order, because it reads no other rows for that.
    const sortedFully = sorts(sql).filter((step) => !step.includes('FOR LAST'));
    t.same(sortedFully, [], `${sql} sorts nothing, so its limit bounds the rows that it reads`);
  }
});
