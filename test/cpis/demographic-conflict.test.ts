import t from 'tap';
import { markSeen, needsLookLabel, viewForOperator } from '../../src/cpis/child-labels.ts';
import { decideConflict, isParty, reviewChild } from '../../src/cpis/demographic-conflict.ts';
import type { Plan } from '../../src/cpis/plan.ts';
import { kindCodes } from '../support/submissions.ts';

const stated = (...dates: readonly string[]) =>
  dates.map((birthDate, index) => ({ authorityId: 'abc'.charAt(index), birthDate }));
const today = '2026-12-01';
const review = (labels: readonly string[], dates: readonly string[], differing?: string, on = today) =>
  reviewChild(labels, { stated: stated(...dates), today: on, differing });
const notified = ({ events }: { events: readonly { code: string; authorityIds: readonly string[] }[] }) =>
  events.map(({ code, authorityIds }) => `${code} ${authorityIds.join()}`);
const [d1, d2] = ['2019-01-01', '2019-01-02'];

t.test('who is in conflict', async (t) => {
  const cases: [string, readonly string[], string | undefined, string][] = [
    ['nobody', [], undefined, ''],
    ['one', [d1], undefined, ''],
    ['the same', [d1, d1, d1], undefined, ''],
    ['two', [d1, d2], undefined, 'a,b'],
    ['one of three differs', [d1, d2, d1], undefined, 'a,b,c'],
    ['an answer decides who is wrong', [d1, d2, d1], d1, 'b'],
    ['an answer that all differ from', [d1, d1], d2, 'a,b'],
    ['an answer that one holder differs from', [d1], d2, 'a'],
    ['an answer that all agree with', [d1, d1], d1, ''],
    ['an answer without day, and one who differs from it', [d1, '2018-12-31'], '2019-01', 'b'],
    ['an answer of a year that all agree with', [d1, d2], '2019', ''],
  ];
  for (const [name, dates, answer, expected] of cases) {
    t.equal(decideConflict(stated(...dates), answer).join(), expected, name);
  }
});

t.test('each authority is notified of the begin and the end once', async (t) => {
  const begun = review([], [d1, d2]);
  t.strictSame(
    [notified(begun), viewForOperator(begun.labels)],
    [['details-differ a,b'], { differ: ['a', 'b'], tried: [] }],
  );
  t.ok(begun.labels.includes(needsLookLabel));
  const again = review(begun.labels, [d1, d2]);
  t.strictSame([notified(again), again.labels], [[], begun.labels]);
  const joined = review(begun.labels, [d1, d2, d2]);
  t.strictSame(notified(joined), ['details-differ c'], 'the one that joins later');
  const ended = review(joined.labels, [d1, d1, d1]);
  t.strictSame([notified(ended), ended.labels], [['details-agree a,b,c'], []]);
  t.strictSame(review([], [d1, d1]), { labels: [], events: [] });
});

t.test('after an operator has looked at it, a conflict begins again only when the statements change', async (t) => {
  const seen = markSeen(review([], [d1, d2]).labels);
  t.notOk(seen.includes(needsLookLabel));
  t.strictSame(viewForOperator(seen).differ, []);
  t.strictSame(review(seen, [d1, d2]), { labels: seen, events: [] });
  t.strictSame(notified(review(seen, [d1, '2019-01-03'])), ['details-differ a,b']);
  t.strictSame(notified(review(seen, [d1, d1])), ['details-agree a,b']);
});

t.test('the third differing statement in a day alarms the others, and no end confirms a guess that day', async (t) => {
  let { labels } = review([], [d1, d2]);
  const seen: string[] = [];
  for (let count = 1; count <= 4; count += 1) {
    const next = review(labels, [d1, `2019-02-0${count}`], 'b');
    seen.push(...notified(next));
    ({ labels } = next);
  }
  t.strictSame(seen, ['details-tried a']);
  t.strictSame(viewForOperator(labels).tried, ['b']);
  const agreed = review(labels, [d1, d1]);
  t.strictSame(notified(agreed), [], 'the same day');
  t.strictSame(
    notified(review(agreed.labels, [d1, d1], undefined, '2026-12-02')),
    ['details-agree a,b'],
    'the next day',
  );
  const other = review([], [d1], 'x');
  t.strictSame(notified(other), [], 'counted without a plan');
  t.strictSame(notified(review(review(other.labels, [d1], 'x').labels, [d1], 'x')), ['details-tried a']);
  t.equal(review(other.labels, [d1], undefined, '2026-12-02').labels.length, 0, 'counts are for a day');
});

t.test('a review keeps the labels of others', async (t) => {
  const labels = ['traced:2026-01-02', 'replaced:A:B', 'number-inactive', 'anything'];
  const stated = [
    { authorityId: 'E1', birthDate: '2019-03-04' },
    { authorityId: 'E2', birthDate: '2019-03-05' },
  ];
  const differ = reviewChild(labels, { stated, today: '2026-01-03', differing: 'E2' });
  t.ok(differ.events.length > 0);
  for (const label of labels) t.ok(differ.labels.includes(label), label);
  const agree = reviewChild(differ.labels, { stated: stated.slice(0, 1), today: '2026-01-04', differing: undefined });
  t.strictSame(agree.labels, labels);
});

t.test('with an answer, a holder that agrees with it leaves the conflict of the others', async (t) => {
  const with3 = (labels: readonly string[], dates: readonly string[], differing?: string) =>
    reviewChild(labels, { stated: stated(...dates), today, differing, answer: d1 });
  const begun = with3([], [d2, d2, d1]);
  t.strictSame([notified(begun), viewForOperator(begun.labels).differ], [['details-differ a,b'], ['a', 'b']]);
  const corrected = with3(begun.labels, [d1, d2, d1]);
  t.strictSame([notified(corrected), viewForOperator(corrected.labels).differ], [['details-agree a'], ['b']]);
  t.strictSame(notified(with3(corrected.labels, [d2, d2, d1])), ['details-differ a'], 'and comes back');
  const ended = with3(corrected.labels, [d1, d1, d1]);
  t.strictSame([notified(ended), ended.labels], [['details-agree b'], []]);
  let { labels } = begun;
  for (const date of ['2019-02-01', '2019-02-02', '2019-02-03']) ({ labels } = with3(labels, [date, d2, d1], 'a'));
  t.strictSame(notified(with3(labels, [d1, d2, d1])), [], 'not on a day of guesses');
  const nextDay = reviewChild(labels, {
    stated: stated(d1, d2, d1),
    today: '2026-12-02',
    differing: undefined,
    answer: d1,
  });
  t.strictSame(notified(nextDay), ['details-agree a'], 'but on the next');
});

t.test('which plans make their authority a party', async (t) => {
  const plan: Plan = {
    ...{ id: 'p', patientId: '9990000018', authorityId: 'E99000001', kind: kindCodes.LAC, status: 'active' },
    ...{ start: '2026-01-01', end: undefined, dueDate: undefined, lastDay: '2030-01-01' },
  };
  const rule = { today, endedPlanVisibleDays: 365 };
  const cases: [string, Partial<Plan>, boolean][] = [
    ['an open one', {}, true],
    ['one that starts later', { start: '2026-12-20' }, true],
    ['one that ended 365 days ago', { status: 'inactive', start: '2025-01-01', end: '2025-12-01' }, true],
    ['one that ended 366 days ago', { status: 'inactive', start: '2025-01-01', end: '2025-11-30' }, false],
    ["an unborn child's, past its last day", { kind: kindCodes.UCPP, lastDay: '2026-11-30' }, false],
    ['a withdrawn one', { status: 'entered-in-error' }, false],
    ['a withdrawn one that starts later', { status: 'entered-in-error', start: '2026-12-20' }, false],
  ];
  for (const [name, over, expected] of cases) t.equal(isParty({ ...plan, ...over }, rule), expected, name);
});

t.test('an authority that has left is no longer a party, and is notified again when it comes back', async (t) => {
  const begun = review([], [d1, d2, d2]);
  const left = review(begun.labels, [d1, d2]);
  t.strictSame([notified(left), viewForOperator(left.labels).differ], [[], ['a', 'b']]);
  t.strictSame(notified(review(left.labels, [d1, d2, d2])), ['details-differ c']);
  const alone = review(left.labels, [d1]);
  t.strictSame([notified(alone), alone.labels], [['details-agree a,b'], []]);
  t.strictSame(review(alone.labels, [d1]), { labels: [], events: [] }, 'once');
});
