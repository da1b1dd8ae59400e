import { test } from 'tap';
import { lastDayLabelled, ownerOf } from '../../src/cpis/labels.ts';
import type { Plan } from '../../src/cpis/plan.ts';
import { confirmedOn, markConfirmed, planLabels } from '../../src/cpis/plan-labels.ts';
import { kindCodes } from '../support/submissions.ts';

const plan: Plan = {
  id: 'p',
  patientId: '9990000018',
  authorityId: 'E99000001',
  kind: kindCodes.LAC,
  status: 'active',
  start: '2023-01-10',
  end: undefined,
  dueDate: undefined,
  lastDay: undefined,
};

test('a corrected birth date changes the last day, and keeps the marks', async (t) => {
  const before = markConfirmed(planLabels(plan, '2007-01-05', []), '2024-01-01');
  const after = planLabels(plan, '2008-01-05', before);
  t.equal(lastDayLabelled(before), '2025-01-04');
  t.equal(lastDayLabelled(after), '2026-01-04');
  t.equal(ownerOf(after), plan.authorityId);
  t.equal(confirmedOn(after), '2024-01-01');
  t.equal(after.length, before.length, 'nothing is kept twice');
  t.strictSame(planLabels(plan, '2008-01-05', after), after, 'labels that are right stay as they are');
});

test('a plan has one mark of its confirmation, the latest', async (t) => {
  const first = markConfirmed(planLabels(plan, '2007-01-05', []), '2024-01-01');
  t.equal(confirmedOn(markConfirmed(first, '2024-01-02')), '2024-01-02');
  t.equal(markConfirmed(first, '2024-01-02').length, first.length);
  t.equal(confirmedOn(planLabels(plan, '2007-01-05', [])), undefined);
});
