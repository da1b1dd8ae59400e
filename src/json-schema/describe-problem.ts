/** What is wrong with operator-written configuration, in words that name the place and never repeat a value. */
import type { ErrorObject } from 'ajv';

/** Keyword of our own: how a `pattern` reads in words. */
export const formKeyword = 'x-form';

/** `/clients/2/jwks` -> `clients[2].jwks` */
function describePath(pointer: string): string {
  return pointer
    .split('/')
    .slice(1)
    .map((part) => part.replaceAll('~1', '/').replaceAll('~0', '~'))
    .reduce((path, part) => (/^\d+$/.test(part) ? `${path}[${part}]` : path === '' ? part : `${path}.${part}`), '');
}

/**
 * One line for one error of ajv (which must run with `verbose`). `knownNames` are those that a misspelt name is held
 * against.
 */
export function describeProblem(error: ErrorObject, knownNames: readonly string[] = []): string {
  const path = describePath(error.instancePath);
  const params: Readonly<Record<string, unknown>> = error.params;
  const below = (name: unknown): string => (path === '' ? String(name) : `${path}.${String(name)}`);
  switch (error.keyword) {
    case 'required':
      return `${below(params['missingProperty'])}: is required`;
    case 'additionalProperties': {
      const name = String(params['additionalProperty']);
      const known = knownNames.length > 0 ? knownNames : Object.keys(error.parentSchema?.['properties'] ?? {});
      const nearest = nearestName(name, known);
      return `${below(name)}: is not known${nearest === undefined ? '' : `; did you mean ${nearest}?`}`;
    }
    case 'pattern':
      return `${path}: must be ${error.parentSchema?.[formKeyword] ?? 'of another form'}`;
    case 'enum':
      return `${path}: must be one of ${allowedValues(params).join(', ')}`;
    case 'discriminator':
      return `${path}: has an unknown or missing ${String(params['tag'])}`;
    default:
      return `${path === '' ? 'the whole' : path}: ${error.message ?? 'is not valid'}`;
  }
}

function allowedValues(params: Readonly<Record<string, unknown>>): readonly string[] {
  return Array.isArray(params['allowedValues']) ? params['allowedValues'].map(String) : [];
}

/** The known name within a third of its length of edits, if any. */
function nearestName(name: string, known: readonly string[]): string | undefined {
  let nearest: string | undefined;
  let least = Number.POSITIVE_INFINITY;
  for (const candidate of known) {
    const distance = editDistance(name, candidate);
    if (distance < least && distance <= Math.max(2, candidate.length / 3)) {
      nearest = candidate;
      least = distance;
    }
  }
  return nearest;
}

/** Levenshtein distance; long names are cut, they are near nothing. */
function editDistance(left: string, right: string): number {
  const from = left.slice(0, 64);
  let row = Array.from({ length: right.length + 1 }, (_, column) => column);
  for (let i = 1; i <= from.length; i++) {
    const next = [i];
    for (let j = 1; j <= right.length; j++) {
      const replaced = (row[j - 1] ?? 0) + (from[i - 1] === right[j - 1] ? 0 : 1);
      next.push(Math.min(replaced, (row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1));
    }
    row = next;
  }
  return row[right.length] ?? 0;
}
