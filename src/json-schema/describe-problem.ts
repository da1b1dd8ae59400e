/** Describes problems of configuration files and settings. Names the place and never repeats a value. */
import type { ErrorObject } from 'ajv';

/** Keyword of our own: a description of `pattern` in words. */
export const formKeyword = 'x-form';

const typeNames: Readonly<Record<string, string>> = {
  integer: 'a whole number',
  boolean: 'true or false',
  string: 'text',
  object: 'an object',
  array: 'a list',
};

/** Converts `/clients/2/jwks` to `clients[2].jwks`. */
function describePath(pointer: string): string {
  return pointer
    .split('/')
    .slice(1)
    .map((part) => part.replaceAll('~1', '/').replaceAll('~0', '~'))
    .reduce((path, part) => (/^\d+$/.test(part) ? `${path}[${part}]` : path === '' ? part : `${path}.${part}`), '');
}

/**
 * Describes an error of ajv, which must run with `verbose`. `knownNames` are the candidates for correcting a misspelt
 * name; default: the names that the schema allows there.
 */
export function describeProblem(error: ErrorObject, knownNames: readonly string[] = []): string {
  const path = describePath(error.instancePath);
  const place = path === '' ? 'the document' : path;
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
      return `${path}: must be ${error.parentSchema?.[formKeyword] ?? 'in another form'}`;
    case 'enum':
      return `${path}: must be one of ${allowedValues(params).join(', ')}`;
    case 'discriminator':
      return `${path}: has an unknown or missing ${String(params['tag'])}`;
    case 'type':
      return `${place}: must be ${typeNames[String(params['type'])] ?? String(params['type'])}`;
    case 'minimum':
      return `${place}: must be at least ${String(params['limit'])}`;
    case 'maximum':
      return `${place}: must be at most ${String(params['limit'])}`;
    case 'minItems':
      return `${place}: must have at least ${String(params['limit'])} entry`;
    case 'maxItems':
      return `${place}: must have at most ${String(params['limit'])} entries`;
    default:
      return `${place}: ${error.message ?? 'is not valid'}`;
  }
}

function allowedValues(params: Readonly<Record<string, unknown>>): readonly string[] {
  return Array.isArray(params['allowedValues']) ? params['allowedValues'].map(String) : [];
}

/** Returns the nearest known name whose edit distance is at most 2 or a third of its length. */
function nearestName(name: string, known: readonly string[]): string | undefined {
  let nearest: string | undefined;
  let minDistance = Number.POSITIVE_INFINITY;
  for (const candidate of known) {
    const distance = editDistance(name, candidate);
    if (distance < minDistance && distance <= Math.max(2, candidate.length / 3)) {
      nearest = candidate;
      minDistance = distance;
    }
  }
  return nearest;
}

/** Returns the Levenshtein distance. Cuts `left` to 64 characters to bound the work. */
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
