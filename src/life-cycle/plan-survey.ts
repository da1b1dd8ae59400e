import { type EventRule, isUnconfirmed, lacksDueDate, lastConfirmed, type OpenPlan } from '../cpis/plan-event.ts';

/** What is known of the open plans of an authority. */
interface AuthorityPlans {
  /** The day on which it last submitted a plan. */
  readonly lastSubmitted: string;
  /** Open plans that it has not confirmed for too long. */
  readonly unconfirmed: number;
  /** Open unborn children's plans that have gone without an expected date of delivery for too long. */
  readonly withoutDueDate: number;
}

interface Counts {
  lastSubmitted: string;
  readonly unconfirmed: Set<string>;
  readonly withoutDueDate: Set<string>;
}

/** Counts the open plans of each authority for the metrics: at each sweep, and with each submission in between. */
export interface PlanSurvey {
  /** Begins a sweep. The counts of the last one stay in use until `finish`. */
  begin(rule: EventRule): { add(open: OpenPlan): void; finish(): void };
  /** Call after a commit in which the authority created, amended or confirmed a plan. */
  submitted(authorityId: string, planId: string, today: string): void;
  read(): ReadonlyMap<string, AuthorityPlans>;
}

/** Opens an empty survey. */
export function openPlanSurvey(): PlanSurvey {
  let current = new Map<string, Counts>();
  /** The counts of the sweep that is running. */
  let next = current;

  function note(counts: Map<string, Counts>, authorityId: string, date: string): Counts {
    const known = counts.get(authorityId);
    const noted = known ?? { lastSubmitted: date, unconfirmed: new Set(), withoutDueDate: new Set() };
    if (known === undefined) counts.set(authorityId, noted);
    if (date > noted.lastSubmitted) noted.lastSubmitted = date;
    return noted;
  }

  return {
    begin(rule) {
      next = new Map();
      // An authority whose last open plan has ended is still known.
      for (const [authorityId, { lastSubmitted }] of current) note(next, authorityId, lastSubmitted);
      return {
        add(open) {
          const { id, authorityId } = open.plan;
          const counts = note(next, authorityId, lastConfirmed(open));
          if (isUnconfirmed(open, rule)) counts.unconfirmed.add(id);
          if (lacksDueDate(open, rule)) counts.withoutDueDate.add(id);
        },
        finish() {
          current = next;
        },
      };
    },
    submitted(authorityId, planId, today) {
      for (const counts of new Set([current, next])) note(counts, authorityId, today).unconfirmed.delete(planId);
    },
    read: () =>
      new Map(
        [...current].map(([authorityId, { lastSubmitted, unconfirmed, withoutDueDate }]) => [
          authorityId,
          { lastSubmitted, unconfirmed: unconfirmed.size, withoutDueDate: withoutDueDate.size },
        ]),
      ),
  };
}
