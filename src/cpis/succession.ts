/**
 * The term of an authority: its first and last day, and the authorities that take over on the day after, the vesting day.
 * Dates are calendar dates in Europe/London.
 */
import { type FhirFault, fault } from '../fhir/fault.ts';
import type { Caller, LocalAuthority } from './caller.ts';
import { addDays } from './london-date.ts';

type Authorities = ReadonlyMap<string, LocalAuthority>;

/** Returns the day on which its successors take over; undefined if it has no last day. */
export function vestingDayOf({ validTo }: LocalAuthority): string | undefined {
  return validTo === undefined ? undefined : addDays(validTo, 1);
}

/** Returns true from its first to its last day. */
export function isInTerm({ validFrom, validTo }: LocalAuthority, today: string): boolean {
  return (validFrom === undefined || validFrom <= today) && (validTo === undefined || today <= validTo);
}

/** Returns true from the vesting day on. */
export function hasEnded({ validTo }: LocalAuthority, today: string): boolean {
  return validTo !== undefined && validTo < today;
}

/** Returns the authorities that have ended and whose successor this is. */
export function endedPredecessorsOf(id: string, authorities: Authorities, today: string): LocalAuthority[] {
  return [...authorities.values()].filter(
    (authority) => authority.replacedBy?.includes(id) === true && hasEnded(authority, today),
  );
}

/**
 * Returns the authority whose name and telephones are shown for this one: after its last day its successor, if it has
 * only one. Of several, nobody knows the right one before the plan is transferred.
 */
export function contactOf(authority: LocalAuthority, authorities: Authorities, today: string): LocalAuthority {
  const [only, ...others] = authority.replacedBy ?? [];
  const successor = only === undefined || others.length > 0 ? undefined : authorities.get(only);
  if (successor === undefined || !hasEnded(authority, today)) return authority;
  return contactOf(successor, authorities, today);
}

const types = new Set(['Flag', 'Patient']);

/** Throws if an authority submits a plan or a Patient before its first or after its last day. */
export function refuseOutOfTerm({ organisation }: Caller, type: string, today: string): void {
  if (organisation.kind !== 'local-authority' || !types.has(type) || isInTerm(organisation, today)) return;
  throw outOfTerm(organisation, today);
}

function outOfTerm(authority: LocalAuthority, today: string): FhirFault {
  if (!hasEnded(authority, today)) {
    return fault('forbidden', `This authority submits plans from ${authority.validFrom} on, not before.`, {
      code: 'business-rule',
    });
  }
  const { validTo, replacedBy = [] } = authority;
  const instead = replacedBy.length === 0 ? '' : ` Its plans are submitted by its successor: ${replacedBy.join(', ')}.`;
  return fault('forbidden', `This authority's last day was ${validTo}. It can read its records.${instead}`, {
    code: 'business-rule',
  });
}

/** A change of authorities that the registry announces. */
export interface AnnouncedChange {
  readonly authority: string;
  /** The first day of the new state. */
  readonly on: string;
  readonly text: string;
}

/** Returns the first and last days that are still to come, earliest first. */
export function announcedChanges(authorities: Authorities, today: string): readonly AnnouncedChange[] {
  const changes: AnnouncedChange[] = [];
  for (const authority of authorities.values()) {
    const { id, validFrom, replacedBy = [] } = authority;
    const vestingDay = vestingDayOf(authority);
    if (validFrom !== undefined && validFrom > today) {
      changes.push({ authority: id, on: validFrom, text: `${id} submits plans from ${validFrom} on` });
    }
    if (vestingDay !== undefined && vestingDay > today) {
      const successors = replacedBy.length === 0 ? 'no successor is named' : `${replacedBy.join(', ')} takes over`;
      const text = `the last day of ${id} is ${authority.validTo}; ${successors} on ${vestingDay}`;
      changes.push({ authority: id, on: vestingDay, text });
    }
  }
  return changes.sort((a, b) => (a.on < b.on ? -1 : a.on > b.on ? 1 : 0));
}

/** Returns the note to operators about an authority that has ended and still holds plans. */
export function describeEnded({ id, validTo, replacedBy = [] }: LocalAuthority): string {
  const next =
    replacedBy.length === 0 ? 'name its successors in the registry' : `run cpis transfer to ${replacedBy.join(', ')}`;
  return `${id} ended on ${validTo} and still holds plans: ${next}`;
}
