import type { LocalAuthority } from '../cpis/caller.ts';
import { addDays } from '../cpis/london-date.ts';
import { vestingDayOf } from '../cpis/succession.ts';

type Authorities = ReadonlyMap<string, LocalAuthority>;

function isRealDate(date: string | undefined): boolean {
  return date === undefined || (!Number.isNaN(Date.parse(date)) && addDays(date, 0) === date);
}

/** Returns true if the successors of `id`, and theirs, lead back to it. */
function leadsBack(id: string, authorities: Authorities): boolean {
  const seen = new Set<string>();
  const open = [...(authorities.get(id)?.replacedBy ?? [])];
  for (let next = open.pop(); next !== undefined; next = open.pop()) {
    if (next === id) return true;
    if (seen.has(next)) continue;
    seen.add(next);
    open.push(...(authorities.get(next)?.replacedBy ?? []));
  }
  return false;
}

/** Describes what is wrong with the term of an authority and its successors. `path` is its place in the file. */
export function checkTerm(authority: LocalAuthority, authorities: Authorities, path: string): readonly string[] {
  const { id, validFrom, validTo, replacedBy = [] } = authority;
  if (!isRealDate(validFrom)) return [`${path}.validFrom: is not a date of the calendar`];
  if (!isRealDate(validTo)) return [`${path}.validTo: is not a date of the calendar`];
  const problems: string[] = [];
  if (validFrom !== undefined && validTo !== undefined && validTo < validFrom) {
    problems.push(`${path}.validTo: must not be before validFrom`);
  }
  if (replacedBy.length > 0 && validTo === undefined) {
    problems.push(`${path}.validTo: is required with replacedBy; it is the last day of the authority`);
  }
  if (leadsBack(id, authorities)) {
    return [...problems, `${path}.replacedBy: leads back to this authority; an authority cannot succeed itself`];
  }
  const vestingDay = vestingDayOf(authority);
  for (const [index, successorId] of replacedBy.entries()) {
    const place = `${path}.replacedBy[${index}]`;
    const successor = authorities.get(successorId);
    if (successor === undefined) {
      problems.push(`${place}: no local authority in this file has this id`);
      continue;
    }
    if (vestingDay === undefined) continue;
    if (successor.validFrom !== undefined && successor.validFrom > vestingDay) {
      problems.push(`${place}: this authority begins after ${vestingDay}, the day on which it takes over`);
    }
    if (successor.validTo !== undefined && successor.validTo < vestingDay) {
      problems.push(`${place}: this authority ends before ${vestingDay}, the day on which it takes over`);
    }
  }
  return problems;
}
