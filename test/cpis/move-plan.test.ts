import { test } from 'tap';
import { mayMove } from '../../src/cpis/move-plan.ts';
import type { Plan } from '../../src/cpis/plan.ts';
import { kindCodes } from '../support/submissions.ts';

const today = '2026-12-01';
const open: Plan = {
  id: 'p',
  patientId: '9990000018',
  authorityId: 'E99000001',
  kind: kindCodes.LAC,
  status: 'active',
  start: '2023-01-10',
  end: undefined,
  dueDate: undefined,
  lastDay: '2035-03-03',
};
const ended: Partial<Plan> = { status: 'inactive', end: '2026-10-01' };
const withdrawn: Partial<Plan> = { status: 'entered-in-error' };
const unborn: Partial<Plan> = { kind: kindCodes.UCPP };

test('an open plan moves; an ended one only if its authority states that there was no adoption', async (t) => {
  for (const [name, known, next, isStated, expected, isInvalidated] of [
    ['open', {}, {}, false, 'moves'],
    ['open, with another start', {}, { start: '2023-02-01' }, false, 'moves'],
    ['open, and another kind', {}, { kind: kindCodes.CPP }, false, 'moves'],
    ['ended before', ended, ended, false, /adoption/],
    ['ended before, open again', ended, {}, false, /adoption/],
    ['ended by age', { lastDay: '2026-11-30' }, {}, false, /adoption/],
    ['on the last day by age', { lastDay: today }, {}, false, 'moves'],
    ['ended with the move', {}, ended, false, 'stays'],
    ['ended with the move, and another start', {}, { ...ended, start: '2023-02-01' }, false, /adoption/],
    ['withdrawn with the move', {}, withdrawn, false, 'stays'],
    ['withdrawn after its end', ended, withdrawn, false, 'stays'],
    ['withdrawn before', withdrawn, withdrawn, false, 'stays'],
    ['the number is invalidated', {}, {}, false, /adoption/, true],
    ['the number is invalidated, and stated', {}, {}, true, 'moves', true],
    ['ended before, and stated', ended, ended, true, 'moves'],
    ['ended with the move, and stated', {}, ended, true, 'moves'],
    ['withdrawn, and stated', {}, withdrawn, true, 'stays'],
    ['an unborn plan, to another number of the mother', unborn, unborn, false, 'moves'],
    ['from the mother to the child', unborn, {}, false, /reference of its own/],
    ['from the mother to the child, stated', unborn, {}, true, /reference of its own/],
    ['from a child to a mother', {}, unborn, true, /reference of its own/],
  ] as const) {
    const plan = { ...open, ...next, patientId: '9990000026' };
    const move = mayMove(plan, {
      known: { ...open, ...known },
      isStated,
      today,
      isInvalidated: isInvalidated === true,
    });
    t.match(typeof move === 'string' ? move : move.diagnostics, expected, name);
  }
});
