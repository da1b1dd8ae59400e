import type { Definitions } from '../definitions/definitions.ts';
import { isObject } from './check.ts';

/** What the invariants about contained resources need, gathered in one walk over the resource. */
export interface LocalReferences {
  /** The `#id` of each contained resource. */
  readonly contained: ReadonlySet<string>;
  /** Each `reference`, canonical, uri or url in the resource that starts with `#`. */
  readonly used: ReadonlySet<string>;
}

type Json = Readonly<Record<string, unknown>>;

/** Returns the names of elements that hold a Reference's text, a canonical, a uri or a url. */
export function readReferenceNames({ types }: Definitions): ReadonlySet<string> {
  const names = new Set(['reference', 'valueCanonical', 'valueUri', 'valueUrl']);
  for (const { elements } of types.values()) {
    for (const { path, types: codes = [] } of elements) {
      if (codes.some(({ code }) => code === 'canonical' || code === 'uri' || code === 'url')) {
        names.add(path.slice(path.lastIndexOf('.') + 1));
      }
    }
  }
  return names;
}

/** Builds the function that reads the local references of a resource. It walks each resource once. */
export function buildLocalReferences(names: ReadonlySet<string>): (resource: Json) => LocalReferences {
  const read = new WeakMap<Json, LocalReferences>();
  return (resource) => {
    const known = read.get(resource);
    if (known !== undefined) return known;
    const contained = new Set(listContained(resource).map(({ id }) => `#${id}`));
    const found = { contained, used: collect(resource, names) };
    read.set(resource, found);
    return found;
  };
}

/** Returns whether each contained resource is used by the resource, or refers to it (R4 invariant dom-3). */
export function areAllUsed(element: Json, { used }: LocalReferences, names: ReadonlySet<string>): boolean {
  return listContained(element).every(
    (contained) => used.has(`#${contained['id']}`) || collect(contained, names).has('#'),
  );
}

export function listContained({ contained }: Json): readonly Json[] {
  return Array.isArray(contained) ? contained.filter(isObject) : [];
}

function collect(value: Json, names: ReadonlySet<string>): Set<string> {
  const found = new Set<string>();
  const pending: (readonly [name: string, value: unknown])[] = Object.entries(value);
  for (let next = pending.pop(); next !== undefined; next = pending.pop()) {
    const [name, member] = next;
    if (typeof member === 'string' && member.startsWith('#') && names.has(name)) found.add(member);
    else if (Array.isArray(member)) for (const item of member) pending.push([name, item]);
    else if (isObject(member)) pending.push(...Object.entries(member));
  }
  return found;
}
