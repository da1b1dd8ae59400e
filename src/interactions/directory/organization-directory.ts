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

/**
 * Builds the directory of Organizations from the current registry. It is rebuilt when the registry has been reloaded.
 */
export function buildOrganizationDirectory(
  registry: () => Registry,
  extract: (resource: unknown) => readonly IndexValue[],
): Directory {
  let revision: number | undefined;
  let candidates = new Map<string, Candidate>();

  function current(): ReadonlyMap<string, Candidate> {
    const snapshot = registry();
    if (snapshot.revision === revision) return candidates;
    const built = new Map<string, Candidate>();
    for (const organisation of snapshot.organisations.values()) {
      const organization = buildOrganization(organisation, snapshot.revision);
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
    return candidates;
  }

  return {
    read: (id) => current().get(id)?.resource,
    search: (plan) => searchInMemory(plan, [...current().values()]),
  };
}
