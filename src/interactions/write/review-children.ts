import type { Patient } from 'fhir/r4.js';
import { type ChildEvent, isParty, reviewChild, type StatedBirthDate } from '../../cpis/demographic-conflict.ts';
import { tracedBirthDate } from '../../cpis/number-labels.ts';
import { matchPatient } from '../../cpis/patient-match.ts';
import type { Plan } from '../../cpis/plan.ts';
import { recordPlanEvent } from '../../cpis/plan-event-record.ts';
import { childType, statementType } from '../../cpis/statement.ts';
import type { AuditWrite, ReadResult, ResourceWrite, RevisionGuard } from '../../store/store.ts';
import type { InteractionPorts } from '../port/ports.ts';
import type { View } from '../resource/view.ts';
import { visibilityRule } from '../resource/visibility-rule.ts';

interface Unit {
  readonly writes: readonly ResourceWrite[];
  readonly guards: readonly RevisionGuard[];
}

/** What the review of a unit adds to it, and the alarms to raise once it is durable. */
export interface ReviewedUnit {
  readonly guards: readonly RevisionGuard[];
  readonly audits: readonly AuditWrite[];
  readonly alarms: readonly ChildEvent[];
}

export type ReviewPorts = Pick<InteractionPorts, 'clock' | 'newAuditId' | 'baseUrl' | 'endedPlanVisibleDays'>;

/** Authorities that a review looks at in a special way. */
interface Involved {
  /** The one that submits. Its Patients are of the type Patient in the view. */
  readonly own?: string;
  /** The one whose plans pass to a successor, so that it is no longer a holder. */
  readonly leaving?: string;
}

const patientIn = (result: ReadResult): Patient | undefined =>
  result.kind === 'found' ? (JSON.parse(result.resource.body) as Patient) : undefined;

/** Returns true if what the caller states of the child has changed, and differs from what another authority states. */
function isDiffering(before: Patient | undefined, now: Patient | undefined, others: readonly Patient[]): boolean {
  if (now === undefined) return false;
  const differs = (other: Patient): boolean => {
    const { birthDateDiffers, nameDiffers } = matchPatient(now, other);
    return birthDateDiffers || nameDiffers;
  };
  return (before === undefined || differs(before)) && others.some(differs);
}

/** Builds an event for each authority about a plan of its own, so that none of them learns of the others by it. */
function recordEvents(
  events: readonly ChildEvent[],
  parties: readonly Plan[],
  date: string,
  ports: ReviewPorts,
): readonly AuditWrite[] {
  return events.flatMap(({ code, authorityIds }) =>
    authorityIds.flatMap((authorityId) => {
      const plan = parties.find((each) => each.authorityId === authorityId);
      if (plan === undefined) return [];
      const { newAuditId, clock, baseUrl } = ports;
      const event = { id: newAuditId(), recordedMs: clock(), planId: plan.id, authorityId, event: { code, date } };
      return recordPlanEvent(event, baseUrl);
    }),
  );
}

/** Reads what each authority with a plan states. `own` reads its own statement as its Patient. */
async function readStated(nhsNumber: string, parties: readonly Plan[], view: View, own?: string) {
  const stated: StatedBirthDate[] = [];
  const others: Patient[] = [];
  for (const authorityId of new Set(parties.map((plan) => plan.authorityId))) {
    const type = authorityId === own ? 'Patient' : statementType(authorityId);
    const patient = patientIn(await view.read(type, nhsNumber));
    if (patient?.birthDate === undefined) continue;
    stated.push({ authorityId, birthDate: patient.birthDate });
    if (authorityId !== own) others.push(patient);
  }
  return { stated, others };
}

/** What a review of one child record adds to the unit that changes the record. */
export interface ReviewedChild {
  readonly labels: readonly string[];
  readonly audits: readonly AuditWrite[];
  readonly alarms: readonly ChildEvent[];
}

/** Reviews a child record with these labels, in the name of no authority. */
export async function reviewRecord(
  nhsNumber: string,
  labels: readonly string[],
  view: View,
  ports: ReviewPorts,
): Promise<ReviewedChild> {
  const rule = visibilityRule(ports);
  const parties = (await view.plansOf(nhsNumber)).filter((plan) => isParty(plan, rule));
  const { stated } = await readStated(nhsNumber, parties, view);
  const answer = tracedBirthDate(labels);
  const review = reviewChild(labels, { stated, today: rule.today, differing: undefined, answer });
  const audits = recordEvents(review.events, parties, rule.today, ports);
  return { labels: review.labels, audits, alarms: review.events };
}

/**
 * Reviews the child records that a unit depends on, as the unit leaves them. The labels and the events of a conflict become
 * part of the unit, and nothing of them becomes part of its answer.
 */
export async function reviewChildren(
  unit: Unit,
  { own, leaving }: Involved,
  view: View,
  ports: ReviewPorts & Pick<InteractionPorts, 'store'>,
): Promise<ReviewedUnit> {
  const rule = visibilityRule(ports);
  const guards: RevisionGuard[] = [];
  const audits: AuditWrite[] = [];
  const alarms: ChildEvent[] = [];
  for (const guard of unit.guards) {
    const child = guard.type === childType ? await view.read(childType, guard.id) : undefined;
    const labels = guard.labels ?? (child?.kind === 'found' ? child.resource.labels : []);
    const plans = child === undefined ? [] : await view.plansOf(guard.id);
    const parties = plans.filter((plan) => plan.authorityId !== leaving && isParty(plan, rule));
    if (child === undefined || (labels.length === 0 && parties.every(({ authorityId }) => authorityId === own))) {
      guards.push(guard);
      continue;
    }
    const { stated, others } = await readStated(guard.id, parties, view, own);
    const isStated = unit.writes.some(({ type, id }) => type === 'Patient' && id === guard.id);
    const before = isStated ? patientIn(await ports.store.read('Patient', guard.id)) : undefined;
    const now = isStated ? patientIn(await view.read('Patient', guard.id)) : undefined;
    const differing = isDiffering(before, now, others) ? own : undefined;
    const review = reviewChild(labels, { stated, today: rule.today, differing, answer: tracedBirthDate(labels) });
    guards.push(review.labels.join() === labels.join() ? guard : { ...guard, labels: review.labels });
    audits.push(...recordEvents(review.events, parties, rule.today, ports));
    alarms.push(...review.events);
  }
  return { guards, audits, alarms };
}
