import type { Issue } from '../fault.ts';

/** R4: a string is at most 1 MB. The others keep the work, and the number of issues, in proportion. */
const maxTextLength = 1024 * 1024;
const maxDepth = 40;
const maxElements = 20_000;

/** What stops a validation before it starts: a resource too deep, too large or with too long a text. */
export function findExcess(resource: object): Issue | undefined {
  let elements = 0;
  const pending: [value: unknown, depth: number][] = [[resource, 0]];
  for (let next = pending.pop(); next !== undefined; next = pending.pop()) {
    const [value, depth] = next;
    if (typeof value === 'string' && value.length > maxTextLength)
      return excess('too-long', 'a text of more than 1 MB');
    if (typeof value !== 'object' || value === null) continue;
    if (depth > maxDepth) return excess('structure', `more than ${maxDepth} levels`);
    const children: unknown[] = Array.isArray(value) ? value : Object.values(value);
    elements += children.length;
    if (elements > maxElements) return excess('too-costly', `more than ${maxElements} elements`);
    for (const child of children) pending.push([child, depth + 1]);
  }
  return undefined;
}

function excess(code: Issue['code'], what: string): Issue {
  return { severity: 'error', code, diagnostics: `The resource has ${what}.` };
}
