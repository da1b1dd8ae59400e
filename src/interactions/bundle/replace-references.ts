/** Copies a resource, and replaces each `reference` that is a key of `locations` by its location. */
export function replaceReferences(value: unknown, locations: ReadonlyMap<string, string>): unknown {
  if (locations.size === 0 || typeof value !== 'object' || value === null) return value;
  if (Array.isArray(value)) return value.map((item) => replaceReferences(item, locations));
  return Object.fromEntries(
    Object.entries(value).map(([key, member]) => [
      key,
      key === 'reference' && typeof member === 'string'
        ? (locations.get(member) ?? member)
        : replaceReferences(member, locations),
    ]),
  );
}

/** Returns every `reference` in a resource. */
export function findReferences(value: unknown): string[] {
  if (typeof value !== 'object' || value === null) return [];
  return Object.entries(value).flatMap(([key, member]) =>
    key === 'reference' && typeof member === 'string' ? member : findReferences(member),
  );
}
