import t from 'tap';
import { estimateSecondsLeft, orderFiles } from '../../scripts/testing/plan-run.ts';

t.test('the longest file of the last run goes first, one that has not run counts as the mean', async (t) => {
  t.strictSame(orderFiles(['a', 'b', 'new', 'c'], { a: 1, b: 9, c: 2 }), ['b', 'new', 'c', 'a']);
  t.strictSame(orderFiles(['b', 'test/faults/kill-9.test.ts', 'a'], {}), ['test/faults/kill-9.test.ts', 'a', 'b']);
});

t.test('the time left is that of the last run at the pace of this one', async (t) => {
  const none = { pending: [], running: [], done: [] };
  t.equal(estimateSecondsLeft({ ...none, pending: ['a'] }, {}, 2), undefined, 'nothing is known yet');
  t.equal(estimateSecondsLeft({ ...none, pending: ['a', 'b'] }, { a: 10, b: 10 }, 2), 10);
  t.equal(estimateSecondsLeft({ ...none, pending: ['a', 'b'] }, { a: 10, b: 2 }, 2), 10, 'no less than the longest');
  const twiceAsSlow = { pending: ['a'], running: [{ file: 'b', seconds: 4 }], done: [{ file: 'c', seconds: 6 }] };
  t.equal(estimateSecondsLeft(twiceAsSlow, { a: 10, b: 12, c: 3 }, 1), 40);
  t.equal(estimateSecondsLeft({ ...none, running: [{ file: 'a', seconds: 20 }] }, { a: 10 }, 2), 0, 'it is overdue');
});
