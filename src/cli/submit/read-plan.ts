import { checkBirthDate, checkSubmittedPlan } from '../../cpis/check-plan.ts';
import { lastDayOf } from '../../cpis/life-cycle.ts';
import { isNhsNumber } from '../../cpis/nhs-number.ts';
import { type Plan, planKinds, unbornKind } from '../../cpis/plan.ts';
import { nameColumns } from './name-columns.ts';
import type { ColumnPlaces, PlanColumn } from './plan-columns.ts';
import type { RecordResponse } from './record-response.ts';

/** A plan as the extract has it. Dates are `YYYY-MM-DD`. */
export interface ExtractedPlan {
  readonly reference: string;
  readonly nhsNumber: string;
  readonly familyName: string;
  readonly givenNames: readonly string[];
  readonly birthDate: string;
  /** SNOMED CT code. */
  readonly kind: keyof typeof planKinds;
  readonly start: string;
  readonly end: string | undefined;
  /** The expected date of delivery, of an unborn child's plan. */
  readonly dueDate: string | undefined;
  readonly withdrawn: boolean;
}

/** A record that cannot be sent. */
export interface UnfitRecord {
  readonly reference: string;
  readonly response: RecordResponse;
  readonly reason: string;
}

const kindOf = new Map(
  (Object.keys(planKinds) as (keyof typeof planKinds)[]).flatMap((code) => [
    [code, code] as const,
    [planKinds[code].short, code] as const,
  ]),
) as ReadonlyMap<string, keyof typeof planKinds>;

function isDate(text: string): boolean {
  if (!/^\d{4}-\d{2}-\d{2}$/.test(text)) return false;
  const date = new Date(`${text}T00:00:00Z`);
  return !Number.isNaN(date.getTime()) && date.toISOString().slice(0, 10) === text;
}

/** Returns the plan that the rules are applied to. */
export function planOf(
  {
    nhsNumber,
    kind,
    start,
    end,
    dueDate,
    withdrawn,
    birthDate,
  }: Omit<ExtractedPlan, 'reference' | 'familyName' | 'givenNames'>,
  id: string,
): Plan {
  const status = withdrawn ? 'entered-in-error' : end === undefined ? 'active' : 'inactive';
  return {
    id,
    patientId: nhsNumber,
    authorityId: '',
    kind,
    status,
    start,
    end,
    dueDate,
    lastDay: lastDayOf({ kind, start, dueDate }, birthDate),
  };
}

/**
 * Reads one record and checks its form and the rules of plans. Lists all problems. `today` is the date in
 * Europe/London.
 */
export function readPlan(cells: readonly string[], places: ColumnPlaces, today: string): ExtractedPlan | UnfitRecord {
  const textOf = (column: PlanColumn): string => (cells[places.get(column) ?? -1] ?? '').trim();
  const reference = textOf('reference');
  const problems: string[] = [];
  const dateOf = (column: PlanColumn, required: boolean): string => {
    const text = textOf(column);
    if (text === '' ? required : !isDate(text)) problems.push(`${column} is not a date in the form YYYY-MM-DD`);
    return text;
  };

  if (reference === '' || reference.length > 64) problems.push('reference must have 1 to 64 characters');
  const familyName = textOf('family_name');
  if (familyName === '' || familyName.length > 100) problems.push('family_name must have 1 to 100 characters');
  const givenNames = textOf('given_names').split(/\s+/).filter(Boolean);
  if (givenNames.length > 10 || givenNames.some((name) => name.length > 100)) {
    problems.push('given_names must be at most ten names of at most 100 characters');
  }
  const kind = kindOf.get(textOf('plan_type').toUpperCase());
  if (kind === undefined) problems.push('plan_type must be CPP, LAC or UCPP, or its SNOMED CT code');
  const withdrawn = /^(yes|true|1)$/i.test(textOf('withdrawn'));
  if (!withdrawn && !/^(no|false|0)?$/i.test(textOf('withdrawn'))) problems.push('withdrawn must be yes, no or empty');
  const birthDate = dateOf('birth_date', true);
  const start = dateOf('start_date', true);
  const end = dateOf('end_date', false) || undefined;
  const dueDate = dateOf('due_date', false) || undefined;
  if (dueDate !== undefined && kind !== undefined && kind !== unbornKind) {
    problems.push('due_date must be empty unless plan_type is UCPP');
  }
  if (problems.length === 0 && kind !== undefined) {
    problems.push(...checkBirthDate(birthDate, today).map((issue) => nameColumns(issue, 'Patient')));
    const plan = planOf({ nhsNumber: '', kind, start, end, dueDate, withdrawn, birthDate }, '');
    // A recorded plan ends whatever the birth date is; the server knows which plans are recorded.
    const ends = end !== undefined || withdrawn;
    const issues = checkSubmittedPlan(plan, ends ? undefined : birthDate, today);
    problems.push(...issues.map((issue) => nameColumns(issue, 'Flag')));
  }
  const nhsNumber = textOf('nhs_number').replaceAll(/[ -]/g, '');
  const isOldStyle = !/^\d{10}$/.test(nhsNumber);
  if (isOldStyle) problems.unshift('nhs_number must be ten digits');
  else if (!isNhsNumber(nhsNumber)) problems.unshift('nhs_number is not valid: its check digit is wrong');
  if (problems.length === 0 && kind !== undefined) {
    return { reference, nhsNumber, familyName, givenNames, birthDate, kind, start, end, dueDate, withdrawn };
  }
  const response = isOldStyle ? 'CPR04' : isNhsNumber(nhsNumber) ? 'CPR07' : 'CPR01';
  return { reference, response, reason: problems.join('; ') };
}
