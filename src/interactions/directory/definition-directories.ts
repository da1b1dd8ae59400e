import { createHash } from 'node:crypto';
import type { IndexValue } from '../../fhir/search/ast.ts';
import { searchInMemory } from '../../fhir/search/search-in-memory.ts';
import type { StoredResource } from '../../store/store.ts';
import type { Directory } from '../port/ports.ts';

/** A conformance resource of this server, and when it was last changed, in epoch milliseconds. */
export interface Definition {
  readonly resource: { readonly resourceType: string; readonly id: string };
  readonly lastUpdatedMs: number;
}

/** The version follows from the content: another one is another version, whoever restarts the server. */
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

/** A directory for each of the types, with the definitions of that type; one without any is empty. */
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
