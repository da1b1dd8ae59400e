import type { Organisation } from '../../cpis/caller.ts';
import { londonDate, londonMidnightMs } from '../../cpis/london-date.ts';
import { contactOf, isInTerm, vestingDayOf } from '../../cpis/succession.ts';
import type { IndexValue } from '../../fhir/search/ast.ts';
import { searchInMemory } from '../../fhir/search/search-in-memory.ts';
import { buildOrganization } from '../../registry/build-organization.ts';
import type { Registry } from '../../registry/registry.ts';
import type { StoredResource } from '../../store/store.ts';
import type { Directory } from '../port/ports.ts';

interface Candidate {
  readonly resource: StoredResource;
  readonly values: readonly IndexValue[];
}

/** Builds the Organization as it is shown on a day. A term that begins or ends makes a new version at 00:00. */
function buildDated(organisation: Organisation, { authorities, revision }: Registry, today: string) {
  if (organisation.kind !== 'local-authority') return buildOrganization(organisation, revision);
  const contacts = contactOf(organisation, authorities, today);
  const begun = [organisation.validFrom, vestingDayOf(organisation), contacts.validFrom]
    .filter((day) => day !== undefined)
    .filter((day) => day <= today)
    .map(londonMidnightMs);
  const active = isInTerm(organisation, today);
  return buildOrganization(organisation, Math.max(revision, ...begun), { active, contacts });
}

/**
 * Builds the directory of Organizations from the current registry. It is rebuilt when the registry has been reloaded, and
 * on each new day in London.
 */
export function buildOrganizationDirectory(
  registry: () => Registry,
  extract: (resource: unknown) => readonly IndexValue[],
  nowMs: () => number,
): Directory {
  let revision: number | undefined;
  let day: string | undefined;
  let candidates = new Map<string, Candidate>();

  function current(): ReadonlyMap<string, Candidate> {
    const snapshot = registry();
    const today = londonDate(nowMs());
    if (snapshot.revision === revision && today === day) return candidates;
    const built = new Map<string, Candidate>();
    for (const organisation of snapshot.organisations.values()) {
      const organization = buildDated(organisation, snapshot, today);
      const { id, meta } = organization;
      const resource: StoredResource = {
        type: 'Organization',
        id,
        version: Number(meta.versionId),
        lastUpdatedMs: Date.parse(meta.lastUpdated),
        body: JSON.stringify(organization),
        labels: [],
        revision: 0,
      };
      built.set(id, { resource, values: extract(organization) });
    }
    candidates = built;
    revision = snapshot.revision;
    day = today;
    return candidates;
  }

  return {
    read: (id) => current().get(id)?.resource,
    search: (plan) => searchInMemory(plan, [...current().values()]),
  };
}
