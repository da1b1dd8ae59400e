import { defined } from '../defined.ts';
import type { SearchParameter, SearchParameterType } from './search-parameter.ts';

/** The elements used from an R4 SearchParameter resource. https://hl7.org/fhir/R4/searchparameter.html */
export interface SearchParameterResource {
  readonly resourceType: 'SearchParameter';
  readonly code: string;
  readonly base: readonly string[];
  readonly type: string;
  readonly expression?: string;
  readonly target?: readonly string[];
}

const servedTypes: readonly string[] = ['token', 'reference', 'date', 'string', 'uri'] satisfies SearchParameterType[];
const resolveFilter = /\.where\(\s*resolve\(\)\s+is\s+(\w+)\s*\)/g;
const plainPath = /^[A-Z]\w*(\.\w+)+$/;

/**
 * Reduces a SearchParameter to its part for one resource type: the alternatives of its expression that start at the
 * type, without each `.where(resolve() is X)`, whose X becomes a target. Returns undefined if the parameter does not
 * apply to the type, or is of a type that this server does not support (number, quantity, composite, special).
 * `codeSystems` maps the path of a `code` element, such as `Flag.status`, to its implied system.
 */
export function slimSearchParameter(
  resource: SearchParameterResource,
  type: string,
  codeSystems: ReadonlyMap<string, string>,
): SearchParameter | undefined {
  if (!resource.base.includes(type) || !servedTypes.includes(resource.type)) return undefined;
  const alternatives = splitUnion(resource.expression ?? '').filter((part) => startsAt(part, type));
  if (alternatives.length === 0) return undefined;
  const resolved = new Set<string>();
  const expression = alternatives
    .map((part) =>
      part.replace(resolveFilter, (_, target: string) => {
        resolved.add(target);
        return '';
      }),
    )
    .join(' | ');
  const system = plainPath.test(expression) ? codeSystems.get(expression) : undefined;
  return {
    code: resource.code,
    type: resource.type as SearchParameterType,
    expression,
    targets: resolved.size > 0 ? [...resolved].sort() : [...(resource.target ?? [])].sort(),
    narrowed: resolved.size > 0,
    ...defined({ system }),
  };
}

function startsAt(part: string, type: string): boolean {
  const start = part.startsWith('(') ? 1 : 0;
  return part.startsWith(`${type}.`, start);
}

/** Splits an expression at each `|` outside parentheses and quotes. */
function splitUnion(expression: string): string[] {
  const parts: string[] = [];
  let depth = 0;
  let quoted = false;
  let start = 0;
  for (let i = 0; i < expression.length; i++) {
    const char = expression[i];
    if (char === "'") quoted = !quoted;
    else if (quoted) continue;
    else if (char === '(') depth++;
    else if (char === ')') depth--;
    else if (char === '|' && depth === 0) {
      parts.push(expression.slice(start, i).trim());
      start = i + 1;
    }
  }
  parts.push(expression.slice(start).trim());
  return parts.filter((part) => part !== '');
}
