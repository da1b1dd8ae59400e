import type { Flag } from 'fhir/r4.js';
import { lastDayLabelled } from './labels.ts';

/** SNOMED CT codes of NHS England's value set England-ChildProtectionPlan. */
export const planKinds = {
  '342191000000101': { short: 'CPP', display: 'Subject to child protection plan' },
  '764841000000100': { short: 'LAC', display: 'Looked after child' },
  '818901000000100': { short: 'UCPP', display: 'Unborn child subject to child protection plan' },
} as const;

export const unbornKind = '818901000000100';

/** A plan, as the rules need it. Dates are calendar dates (`YYYY-MM-DD`) in Europe/London. */
export interface Plan {
  readonly id: string;
  readonly patientId: string;
  readonly authorityId: string;
  readonly kind: string;
  readonly status: 'active' | 'inactive' | 'entered-in-error';
  readonly start: string;
  readonly end: string | undefined;
  /** The expected date of delivery, on an unborn child's plan only. */
  readonly dueDate: string | undefined;
  /** The last day by the life cycle (`lastDayOf`); undefined before it is known. */
  readonly lastDay: string | undefined;
}

/** The extension of an unborn child's plan that holds the expected date of delivery. */
export const dueDateExtension = 'https://cpis-fhir.example.org/fhir/StructureDefinition/cpis-due-date';

/** Extracts the plan of a valid Flag whose author and subject have been set. */
export function extractPlan(flag: Flag): Plan {
  return {
    id: flag.id ?? '',
    patientId: (flag.subject.reference ?? '').slice('Patient/'.length),
    authorityId: (flag.author?.reference ?? '').slice('Organization/'.length),
    kind: flag.code.coding?.[0]?.code ?? '',
    status: flag.status,
    start: flag.period?.start ?? '',
    end: flag.period?.end,
    dueDate: flag.extension?.find(({ url }) => url === dueDateExtension)?.valueDate,
    lastDay: undefined,
  };
}

/** Reads the plan of a stored Flag from its JSON text and its labels. */
export function parsePlan(flag: { readonly body: string; readonly labels: readonly string[] }): Plan {
  return { ...extractPlan(JSON.parse(flag.body) as Flag), lastDay: lastDayLabelled(flag.labels) };
}

/** Returns true unless the plan was withdrawn; a withdrawn plan has no holder. */
export function isHeld(plan: Plan): boolean {
  return plan.status !== 'entered-in-error';
}

/**
 * Returns true if `next` ends or withdraws the recorded plan and claims nothing new of its subject. What is recorded of
 * the child must never stand in the way of that.
 */
export function endsPlan(next: Plan, known: Plan): boolean {
  if (next.status === 'entered-in-error') return true;
  return isHeld(known) && next.status === 'inactive' && next.kind === known.kind && next.start === known.start;
}

/** Returns the keys of a plan that no other plan of its authority may have: one for each identifier. */
export function planKeys({ identifier = [] }: Flag, authorityId: string): readonly string[] {
  return identifier.map(({ system, value }) => JSON.stringify(['Flag', authorityId, system, value]));
}
