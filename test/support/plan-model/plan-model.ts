/**
 * The rules of the life cycle of plans as a plain model, written from the rules themselves and not from src/cpis. Each
 * authority states the birth date of a child for its own plans.
 */
import { openConflictModel, type Statement } from './conflict-model.ts';
import { addDays, birthdayAt } from './dates.ts';

export type Kind = 'CPP' | 'LAC' | 'UCPP';

/** A plan as its authority submits it. */
export interface PlanForm {
  readonly kind: Kind;
  readonly status: 'active' | 'inactive' | 'entered-in-error';
  readonly start: string;
  readonly end?: string | undefined;
  readonly dueDate?: string | undefined;
}

export interface ModelPlan extends PlanForm {
  readonly reference: string;
  readonly authority: number;
  readonly child: number;
  readonly isDeleted: boolean;
  /** When its authority last submitted it. */
  readonly confirmed: string;
  /** The date of the last event of each code. */
  readonly notified: ReadonlyMap<string, string>;
}

/** What is submitted: a plan with what its authority states of the child. */
interface Submission {
  readonly authority: number;
  readonly child: number;
  readonly birthDate: string;
  readonly reference: string;
  readonly form: PlanForm;
}

export interface PlanModel {
  readonly plans: readonly ModelPlan[];
  readonly today: string;
  /** The events of the life cycle that the authorities are notified of, as texts. */
  readonly events: readonly string[];
  birthDateOf(authority: number, child: number): string | undefined;
  /** Returns the plans that NHS staff see on a child today, as texts. */
  shownOf(child: number): string[];
  /** Returns the authorities whose plans they see. */
  holdersOf(child: number): number[];
  /** Returns the days on which something changes for a plan. */
  boundariesOf(plan: ModelPlan): string[];
  /** Submits Patient and Flag. Returns whether each is accepted. In a transaction it is both or none. */
  submit(submission: Submission, how: 'batch' | 'transaction'): { readonly patient: boolean; readonly flag: boolean };
  /** Submits a Patient alone. Returns whether it is accepted. */
  state(authority: number, child: number, birthDate: string): boolean;
  /** Updates a plan by its id and version, which may revive a withdrawn or deleted one. Returns whether it is accepted. */
  revive(plan: ModelPlan, form: PlanForm): boolean;
  delete(plan: ModelPlan): void;
  /** Begins a day: the sweep ends plans, and conflicts with a plan that is no longer shown. */
  begin(today: string): void;
  /** An operator looks at the details of a child. Returns false if there is nothing to look at. */
  resolve(child: number): boolean;
  /** Returns the children whose details an operator should look at, as texts. */
  waiting(): string[];
}

const isBefore = (a: string, b: string): boolean => a < b;
const shownEndedDays = 365;
const unbornShownDays = 28;
const maxUnbornDays = 308;
const aheadDays = 30;
const unconfirmedDays = 90;

export function openPlanModel(firstDay: string): PlanModel {
  let today = firstDay;
  const statements = new Map<string, string>();
  const conflicts = openConflictModel();
  const events: string[] = [];
  let plans: readonly ModelPlan[] = [];
  const keyOf = (authority: number, child: number): string => `${authority}|${child}`;
  const put = (plan: ModelPlan): void => {
    plans = [...plans.filter(({ reference }) => reference !== plan.reference), plan];
  };
  const isHeld = ({ status, isDeleted }: ModelPlan): boolean => !isDeleted && status !== 'entered-in-error';

  function lastDayOf(form: PlanForm, birthDate: string): string {
    if (form.kind !== 'UCPP') return addDays(birthdayAt(birthDate, 18), -1);
    return form.dueDate === undefined ? addDays(form.start, maxUnbornDays) : addDays(form.dueDate, unbornShownDays);
  }

  /** The rules of a plan that is open or new. */
  function mayBeOpen({ kind, start, dueDate }: PlanForm, birthDate: string): boolean {
    if (isBefore(addDays(today, aheadDays), start)) return false;
    if (kind !== 'UCPP') return !isBefore(start, birthDate) && isBefore(start, birthdayAt(birthDate, 18));
    const isDuePossible =
      dueDate === undefined || (!isBefore(dueDate, addDays(start, -28)) && !isBefore(addDays(start, 308), dueDate));
    return isDuePossible && !isBefore(start, birthdayAt(birthDate, 10));
  }

  const hasPossibleEnd = ({ start, end }: PlanForm): boolean =>
    end === undefined || (!isBefore(today, end) && !isBefore(end, start));

  /** Whether the submission only ends or withdraws what is recorded. */
  function onlyEnds(form: PlanForm, known: ModelPlan | undefined): boolean {
    if (known === undefined) return false;
    if (form.status === 'entered-in-error') return true;
    return isHeld(known) && form.status === 'inactive' && form.kind === known.kind && form.start === known.start;
  }

  /** A plan ends by its rules on its last day, and never before its start. */
  function latestEnd(form: PlanForm, birthDate: string): string {
    const lastDay = lastDayOf(form, birthDate);
    return isBefore(lastDay, form.start) ? form.start : lastDay;
  }

  const lastOf = (form: PlanForm, birthDate: string): string => {
    const latest = latestEnd(form, birthDate);
    return form.end !== undefined && isBefore(form.end, latest) ? form.end : latest;
  };

  /** Whether a submission repeats what is recorded, which is no write. */
  const isSame = (form: PlanForm, known: ModelPlan | undefined): boolean =>
    (['kind', 'status', 'start', 'end', 'dueDate'] as const).every((name) => form[name] === known?.[name]);

  /** One authority has one child protection plan and one looked-after status on a child at a time. */
  function overlaps(submission: Submission, known: ModelPlan | undefined, birthDate: string): boolean {
    const { form, authority, child, reference } = submission;
    if (form.kind === 'UCPP' || form.status === 'entered-in-error') return false;
    const claimsMore =
      known === undefined ||
      !isHeld(known) ||
      isBefore(form.start, known.start) ||
      (known.end !== undefined && (form.end === undefined || isBefore(known.end, form.end)));
    if (!claimsMore) return false;
    return plans.some((other) =>
      [
        other.authority === authority && other.child === child && other.kind === form.kind,
        other.reference !== reference && isHeld(other),
        !isBefore(lastOf(other, birthDate), form.start) && !isBefore(lastOf(form, birthDate), other.start),
      ].every(Boolean),
    );
  }

  function acceptsFlag(
    submission: Submission,
    known: ModelPlan | undefined,
    birthDate: string,
    byId: boolean,
  ): boolean {
    const { form } = submission;
    const revives = known !== undefined && (known.isDeleted || (!isHeld(known) && form.status !== 'entered-in-error'));
    if (revives && !byId) return false;
    if (known?.isDeleted === true && form.status === 'entered-in-error') return false;
    if (!hasPossibleEnd(form)) return false;
    if (!onlyEnds(form, known)) {
      if (!mayBeOpen(form, birthDate)) return false;
      const isAdult = !isBefore(today, birthdayAt(birthDate, 18));
      if (form.kind !== 'UCPP' && form.status === 'active' && isAdult) return false;
    }
    return !overlaps(submission, known, birthDate);
  }

  const isPossibleBirth = (birthDate: string): boolean =>
    !isBefore(today, birthDate) && !isBefore(birthDate, '1900-01-01');

  /** A birth date must suit the open plans of the authority; `except` is a plan that is replaced by `form`. */
  function acceptsBirth(
    authority: number,
    child: number,
    birthDate: string,
    except?: string,
    form?: PlanForm,
  ): boolean {
    const isUnchanged = statements.get(keyOf(authority, child)) === birthDate;
    if (isUnchanged) return true;
    const open = plans.filter((plan) => plan.authority === authority && plan.child === child && isHeld(plan));
    const forms: PlanForm[] = open.filter(({ reference }) => reference !== except);
    if (form !== undefined && form.status !== 'entered-in-error') forms.push(form);
    return isPossibleBirth(birthDate) && forms.every((each) => each.end !== undefined || mayBeOpen(each, birthDate));
  }

  function store({ authority, child, reference, form }: Submission, known: ModelPlan | undefined): void {
    const notified = known?.notified ?? new Map<string, string>();
    put({ ...form, reference, authority, child, isDeleted: false, confirmed: today, notified });
  }

  function shown(plan: ModelPlan): string | undefined {
    const birthDate = statements.get(keyOf(plan.authority, plan.child));
    if (birthDate === undefined || !isHeld(plan) || isBefore(today, plan.start)) return undefined;
    const isOver = isBefore(lastDayOf(plan, birthDate), today);
    if (isOver && plan.kind === 'UCPP') return undefined;
    const end = isOver ? lastOf(plan, birthDate) : plan.end;
    if (end !== undefined && isBefore(addDays(end, shownEndedDays), today)) return undefined;
    return `${plan.authority} ${plan.kind} ${end === undefined ? 'active' : 'inactive'} ${plan.start} ${end ?? 'open'}`;
  }

  /** What is stated of a child by the authorities with a plan that NHS staff see, or will see. */
  function statedOf(child: number): Map<number, string> {
    const holding = plans.filter(
      (plan) => plan.child === child && isHeld(plan) && (isBefore(today, plan.start) || shown(plan) !== undefined),
    );
    return new Map(holding.map(({ authority }) => [authority, statements.get(keyOf(authority, child)) ?? '']));
  }

  const review = (child: number, changed?: Statement): void => {
    events.push(...conflicts.review(child, statedOf(child), today, changed));
  };

  /** Takes the birth date that an authority states. Returns the statement if it is another one than before. */
  function takeStatement(authority: number, child: number, birthDate: string): Statement | undefined {
    const key = keyOf(authority, child);
    if (statements.get(key) === birthDate) return undefined;
    statements.set(key, birthDate);
    return { authority, birthDate };
  }

  /** The event that is due for an open plan, by its dates. */
  function datedEvent(plan: ModelPlan, lastDay: string): readonly [code: string, date: string] | undefined {
    const { kind, start, dueDate } = plan;
    if (isBefore(lastDay, today)) return [kind === 'UCPP' ? 'no-longer-shown' : 'ended', lastDay];
    if (kind !== 'UCPP') return isBefore(today, addDays(lastDay, -29)) ? undefined : ['ends-soon', lastDay];
    if (dueDate !== undefined) return isBefore(today, addDays(dueDate, -28)) ? undefined : ['birth-due', dueDate];
    return isBefore(today, addDays(start, 300)) ? undefined : ['due-date-missing', lastDay];
  }

  function sweep(plan: ModelPlan): void {
    const birthDate = statements.get(keyOf(plan.authority, plan.child)) ?? '';
    const lastDay = lastDayOf(plan, birthDate);
    const isOver = isBefore(lastDay, today);
    const notified = new Map(plan.notified);
    const dated = datedEvent(plan, lastDay);
    const isNew = dated !== undefined && (dated[0] === 'ended' || notified.get(dated[0]) !== dated[1]);
    if (isNew) {
      notified.set(...dated);
      events.push(`${today} ${plan.reference} ${dated.join(' ')}`);
    }
    const last = notified.get('unconfirmed');
    const isUnconfirmed = !isOver && !isBefore(today, addDays(plan.confirmed, unconfirmedDays));
    if (isUnconfirmed && (last === undefined || !isBefore(today, addDays(last, 7)))) {
      notified.set('unconfirmed', today);
      events.push(`${today} ${plan.reference} unconfirmed ${plan.confirmed}`);
    }
    const ended = { status: 'inactive', end: latestEnd(plan, birthDate) } as const;
    put({ ...plan, notified, ...(isOver && isNew ? ended : {}) });
  }

  return {
    get plans() {
      return plans;
    },
    get today() {
      return today;
    },
    events,
    waiting: conflicts.waiting,
    resolve: (child) => conflicts.resolve(child, statedOf(child)),
    birthDateOf: (authority, child) => statements.get(keyOf(authority, child)),
    shownOf: (child) =>
      plans
        .filter((plan) => plan.child === child)
        .flatMap((plan) => shown(plan) ?? [])
        .sort(),
    holdersOf: (child) => [
      ...new Set(
        plans.filter((plan) => plan.child === child && shown(plan) !== undefined).map((plan) => plan.authority),
      ),
    ],
    boundariesOf(plan) {
      const birthDate = statements.get(keyOf(plan.authority, plan.child)) ?? '';
      const lastDay = lastDayOf(plan, birthDate);
      const end = lastOf(plan, birthDate);
      return [plan.start, addDays(lastDay, 1), addDays(end, shownEndedDays + 1), addDays(lastDay, -29)];
    },
    submit(submission, how) {
      const { authority, child, birthDate, reference, form } = submission;
      const known = plans.find((plan) => plan.reference === reference);
      const stated = statements.get(keyOf(authority, child));
      const together =
        acceptsBirth(authority, child, birthDate, reference, form) && acceptsFlag(submission, known, birthDate, false);
      const alone = how === 'batch' && acceptsBirth(authority, child, birthDate);
      const changed = together || alone ? takeStatement(authority, child, birthDate) : undefined;
      // In a batch the Patient is stored first, if it can be.
      if (alone && changed !== undefined) review(child, changed);
      // The end or the withdrawal of a plan does not depend on what is stated of the child.
      const ends =
        how === 'batch' && !alone && onlyEnds(form, known) && acceptsFlag(submission, known, stated ?? '', false);
      const flag = together || (alone && acceptsFlag(submission, known, birthDate, false)) || ends;
      const changes = flag && !isSame(form, known);
      if (flag) store(submission, known);
      if (!alone && changed !== undefined) review(child, changed);
      else if (changes) review(child);
      return { patient: together || alone, flag };
    },
    state(authority, child, birthDate) {
      const isAccepted = acceptsBirth(authority, child, birthDate);
      const changed = isAccepted ? takeStatement(authority, child, birthDate) : undefined;
      if (changed !== undefined) review(child, changed);
      return isAccepted;
    },
    revive(plan, form) {
      const { authority, child, reference } = plan;
      const birthDate = statements.get(keyOf(authority, child)) ?? '';
      const submission = { authority, child, reference, birthDate, form };
      const isAccepted = acceptsFlag(submission, plan, birthDate, true);
      if (!isAccepted) return false;
      const changes = plan.isDeleted || !isSame(form, plan);
      store(submission, plan);
      if (changes) review(child);
      return true;
    },
    delete(plan) {
      put({ ...plan, isDeleted: true });
      review(plan.child);
    },
    begin(day) {
      if (day === today) return;
      today = day;
      for (const plan of plans.filter((each) => isHeld(each) && each.status === 'active')) sweep(plan);
      for (const child of new Set(plans.map((plan) => plan.child))) review(child);
    },
  };
}
