/** The rules that a submitted plan and its subject must keep. Dates are calendar dates (`YYYY-MM-DD`) in Europe/London. */
import type { Issue } from '../fhir/fault.ts';
import { lastDayOf, lastDayUnder18 } from './life-cycle.ts';
import { addDays, ageInYears } from './london-date.ts';
import { isHeld, type Plan, unbornKind } from './plan.ts';

const adultAgeYears = 18;
/** The least age of a mother at the start of an unborn child's plan. */
const minMotherAgeYears = 10;
const maxDaysAhead = 30;
/** How long before its start an unborn child's plan may have been due. */
const maxOverdueDays = 28;
/** How long after its start an unborn child's plan may be due. */
const maxDueDays = 44 * 7;
const firstBirthDate = '1900-01-01';

const refuse = (diagnostics: string, expression: string): Issue => ({
  severity: 'error',
  code: 'business-rule',
  diagnostics,
  expression: [expression],
});

const warn = (diagnostics: string, expression: string): Issue => ({
  ...refuse(diagnostics, expression),
  severity: 'warning',
});

/**
 * Checks the dates and the subject of a plan, and returns an issue for each broken rule. `birthDate` is the subject's
 * full date of birth; undefined leaves out the rules of a plan that stays open: its start and its subject.
 */
export function checkPlan(plan: Plan, birthDate: string | undefined, today: string): Issue[] {
  const issues: Issue[] = [];
  const { kind, start, end } = plan;
  if (end !== undefined && end > today) {
    const text = 'period.end is in the future (Europe/London). Submit the end of a plan on or after the day it ends.';
    issues.push(refuse(text, 'Flag.period.end'));
  }
  if (end !== undefined && end < start) {
    issues.push(refuse('period.end is before period.start. Correct one of the two dates.', 'Flag.period.end'));
  }
  if (birthDate === undefined) return issues;
  if (start > addDays(today, maxDaysAhead)) {
    const text = `period.start is more than ${maxDaysAhead} days ahead (Europe/London). Submit the plan nearer to its start.`;
    issues.push(refuse(text, 'Flag.period.start'));
  }
  const { dueDate } = plan;
  if (dueDate !== undefined && (dueDate < addDays(start, -maxOverdueDays) || dueDate > addDays(start, maxDueDays))) {
    const text =
      'The expected date of delivery must be between 28 days before and 44 weeks after period.start. Correct one of the ' +
      'two dates.';
    issues.push(refuse(text, 'Flag.extension'));
  }
  const age = ageInYears(birthDate, start);
  if (kind === unbornKind && age < minMotherAgeYears) {
    const text =
      "The subject of an unborn child's plan is the mother, and this one is under 10 at period.start. Check the NHS " +
      'number, the birth date and the kind of plan.';
    issues.push(refuse(text, 'Flag.subject'));
  }
  if (kind !== unbornKind && start < birthDate) {
    const text =
      "period.start is before the birth of the subject. Correct the date; an unborn child's plan has its own code and is " +
      'recorded on the mother.';
    issues.push(refuse(text, 'Flag.period.start'));
  }
  if (kind !== unbornKind && age >= adultAgeYears) {
    const text =
      'The subject is 18 or older at period.start. The only plan that is recorded on an adult is an unborn ' +
      "child's, on the mother, with its own code.";
    issues.push(refuse(text, 'Flag.subject'));
  }
  return issues;
}

/**
 * Checks a plan as `checkPlan` does, and that it is not submitted as open after the age of its subject has ended it. A
 * corrected birth date, in contrast, may end the plans that are recorded.
 */
export function checkSubmittedPlan(plan: Plan, birthDate: string | undefined, today: string): Issue[] {
  const issues = checkPlan(plan, birthDate, today);
  const { kind, status, start } = plan;
  if (birthDate === undefined || kind === unbornKind || status !== 'active') return issues;
  // A plan that starts after the 18th birthday has its issue already.
  if (lastDayUnder18(birthDate) >= today || ageInYears(birthDate, start) >= adultAgeYears) return issues;
  const text =
    'The subject is now 18 or older, so this plan has ended by age. Submit its end: the day before the 18th birthday or ' +
    'an earlier day.';
  return [...issues, refuse(text, 'Flag.period.end')];
}

/** Checks a birth date, and returns an issue if nobody who has a plan can have it. */
export function checkBirthDate(birthDate: string, today: string): Issue[] {
  if (birthDate > today) return [refuse('The birth date is in the future. Correct it.', 'Patient.birthDate')];
  if (birthDate < firstBirthDate) return [refuse('The birth date is before 1900. Correct it.', 'Patient.birthDate')];
  return [];
}

/**
 * Returns the warnings about an accepted plan. `gender` is that of its subject, and `others` are the plans that its authority
 * holds on the subject besides it.
 */
export function warnOfPlan(
  plan: Plan,
  gender: string | undefined,
  others: readonly Plan[],
  today: string,
): readonly Issue[] {
  if (plan.kind !== unbornKind || plan.status !== 'active') return [];
  const warnings: Issue[] = [];
  const lastDay = lastDayOf(plan, '');
  if (lastDay < today) {
    const text =
      `NHS staff do not see this unborn child's plan: its last day was ${lastDay}, 28 days after the expected date of ` +
      'delivery or, without that date, 44 weeks after its start. If the child is born, submit a plan on the child, and ' +
      'end or withdraw this one.';
    warnings.push(warn(text, 'Flag.period'));
  } else if (plan.dueDate === undefined) {
    const text =
      "This unborn child's plan has no expected date of delivery, so NHS staff see it until 44 weeks after its start. " +
      'Submit the date in the extension cpis-due-date, and end the plan when the child is born.';
    warnings.push(warn(text, 'Flag.extension'));
  }
  if (gender === 'male') {
    const text =
      "The subject of this unborn child's plan is recorded as male. Check the NHS number and the kind of plan.";
    warnings.push(warn(text, 'Flag.subject'));
  }
  if (others.some((other) => isHeld(other) && other.kind === unbornKind && other.end === undefined)) {
    const text =
      "This authority holds another open unborn child's plan on the same mother. That is right for twins; otherwise " +
      'withdraw one of the two.';
    warnings.push(warn(text, 'Flag.subject'));
  }
  return warnings;
}
