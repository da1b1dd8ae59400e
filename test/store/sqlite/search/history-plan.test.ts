import t from 'tap';
import type { HistoryPlan, HistoryScope } from '../../../../src/store/history.ts';
import { compileHistory } from '../../../../src/store/sqlite/search/compile-history.ts';
import { openExplainer } from '../explain.ts';

const { explain, scans, sorts } = openExplainer(t);

const flags: HistoryScope = { type: 'Flag', now: ['owner:E1'], written: ['owner:E1'] };
const patients: HistoryScope = { type: 'Patient', now: ['viewer:E1'], written: ['viewer:E1', 'submitter:E1'] };
const subscriptions: HistoryScope = { ...flags, type: 'Subscription' };
const times: readonly Partial<HistoryPlan>[] = [
  {},
  { sinceMs: 1 },
  { at: { startMs: 1, endMs: 2 } },
  { sinceMs: 1, at: { startMs: 1, endMs: 2 } },
];

t.test(
  'history walks the versions of one resource, or the ranges of the labels with access, newest first',
  async (t) => {
    const asked: readonly (readonly [Pick<HistoryPlan, 'scopes' | 'id'>, RegExp, number])[] = [
      [{ scopes: [flags] }, /^SEARCH k USING PRIMARY KEY \(label=\? AND type=\?/, 1],
      [{ scopes: [patients] }, /^SEARCH k USING PRIMARY KEY \(label=\? AND type=\?/, 2],
      [{ scopes: [flags, patients, subscriptions] }, /^SEARCH k USING PRIMARY KEY \(label=\? AND type=\?/, 4],
      [{ scopes: [patients], id: '1' }, /^SEARCH v USING INDEX sqlite_autoindex_version_1 \(type=\? AND id=\?/, 1],
    ];
    for (const [what, driver, branches] of asked) {
      for (const time of times) {
        const after = what.id === undefined ? [5, 6] : [5];
        for (const plan of [
          { ...what, ...time },
          { ...what, ...time, after },
        ]) {
          const { page, count } = compileHistory({ ...plan, limit: 10, total: true });
          const driving = explain(page.sql).filter((step) => driver.test(step));
          t.equal(driving.length, branches, JSON.stringify(plan));
          for (const { sql } of [page, count]) t.same(scans(sql), [], `${JSON.stringify(plan)} scans nothing`);
          t.same(sorts(page.sql), [], `${JSON.stringify(plan)} sorts nothing`);
        }
      }
    }
  },
);
