import { createHash } from 'node:crypto';
import type { IndexValue } from '../../fhir/search/ast.ts';
import { searchInMemory } from '../../fhir/search/search-in-memory.ts';
import type { StoredResource } from '../../store/store.ts';
import type { Directory } from '../port/ports.ts';

/** A conformance resource of this server, and the time of its last change in epoch milliseconds. */
export interface Definition {
  readonly resource: { readonly resourceType: string; readonly id: string };
  readonly lastUpdatedMs: number;
}

/** The version is a digest of the content, so that it stays the same across restarts until the content changes. */
function store({ resource, lastUpdatedMs }: Definition): StoredResource {
  const { resourceType, id, ...content } = resource;
  const digest = createHash('sha256').update(JSON.stringify(content)).digest('hex');
  const version = Number.parseInt(digest.slice(0, 12), 16);
  const meta = { versionId: String(version), lastUpdated: new Date(lastUpdatedMs).toISOString() };
  return {
    type: resourceType,
    id,
    version,
    lastUpdatedMs,
    body: JSON.stringify({ resourceType, id, meta, ...content }),
    labels: [],
    revision: 0,
  };
}

/** Builds a directory of definitions for each type. A type without definitions has an empty one. */
export function buildDefinitionDirectories(
  types: Iterable<string>,
  definitions: readonly Definition[],
  extract: (resource: unknown) => readonly IndexValue[],
): ReadonlyMap<string, Directory> {
  const directories = new Map<string, Directory>();
  for (const type of types) {
    const own = definitions.filter(({ resource }) => resource.resourceType === type);
    const candidates = own.map((definition) => ({
      resource: store(definition),
      values: extract(definition.resource),
    }));
    const byId = new Map(candidates.map(({ resource }) => [resource.id, resource]));
    directories.set(type, { read: (id) => byId.get(id), search: (plan) => searchInMemory(plan, candidates) });
  }
  return directories;
}
