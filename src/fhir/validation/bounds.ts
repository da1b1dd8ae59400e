import type { Issue } from '../fault.ts';

/** A string in R4 has at most 1 MB. The other limits bound the work and the number of issues. */
const maxTextLength = 1024 * 1024;
const maxDepth = 40;
const maxElements = 5_000;
/** A Bundle may have 10,000 entries, each with several elements. */
const maxBundleElements = 100_000;

/**
 * Returns an issue for a resource that is too deep, too large or has too long a text; it is not validated further. Does
 * not look into the resources of a Bundle, because each of them is checked and validated separately.
 */
export function findExcess(resource: Readonly<Record<string, unknown>>): Issue | undefined {
  const isBundle = resource['resourceType'] === 'Bundle';
  const limit = isBundle ? maxBundleElements : maxElements;
  let elements = 0;
  const pending: [value: unknown, depth: number][] = [[resource, 0]];
  for (let next = pending.pop(); next !== undefined; next = pending.pop()) {
    const [value, depth] = next;
    if (typeof value === 'string' && value.length > maxTextLength)
      return excess('too-long', 'a text of more than 1 MB');
    if (typeof value !== 'object' || value === null) continue;
    if (depth > maxDepth) return excess('structure', `more than ${maxDepth} levels`);
    const names = Object.keys(value);
    elements += names.length;
    if (elements > limit) return excess('too-costly', `more than ${limit} elements`);
    for (const name of names) {
      if (isBundle && name === 'resource') continue;
      pending.push([(value as Readonly<Record<string, unknown>>)[name], depth + 1]);
    }
  }
  return undefined;
}

function excess(code: Issue['code'], what: string): Issue {
  return { severity: 'error', code, diagnostics: `The resource has ${what}.` };
}
