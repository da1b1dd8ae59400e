/** Parses criteria on other resources: chains and `_has`. https://hl7.org/fhir/R4/search.html#chaining */
import type { LinkedCriterion, SearchClause } from './ast.ts';
import { type ParameterName, parseParameterName } from './parameter-name.ts';
import { Problem } from './problem.ts';

/** The resource at the other end of a reference, and the criteria allowed on it. */
export interface LinkTarget {
  readonly type: string;
  /** Allowed parameters of that resource. */
  readonly allowed: ReadonlySet<string>;
}

export interface LinkOptions {
  /** Reference parameter of the searched type -> allowed target of a chain. */
  readonly chains?: ReadonlyMap<string, LinkTarget>;
  /** `Type:parameter` of the reference back -> allowed target of `_has`. */
  readonly reverses?: ReadonlyMap<string, LinkTarget>;
}

const badChain = new Problem('not-supported', 'This chain is not supported. See the CapabilityStatement.');
const badReverse = new Problem('not-supported', 'This _has is not supported. See the CapabilityStatement.');

type ParseSelection<O> = (type: string, name: ParameterName, value: string, options: O) => SearchClause | Problem;

/**
 * Parses `patient.birthdate=` or `patient:Patient.birthdate=`. Returns undefined if the name is not a chain, or a chain
 * to `identifier`, which a reference clause parses.
 */
export function parseChained<O extends LinkOptions>(
  { code, modifier, chain }: ParameterName,
  value: string,
  options: O,
  parseSelection: ParseSelection<O>,
): LinkedCriterion | Problem | undefined {
  if (chain === undefined || chain === 'identifier') return undefined;
  const target = options.chains?.get(code);
  if (target === undefined || (modifier !== undefined && modifier !== target.type)) return badChain;
  const clause = parseAtTarget(chain, value, target, options, parseSelection);
  if (clause === undefined) return badChain;
  return clause instanceof Problem ? clause : { kind: 'chain', param: code, target: target.type, clause };
}

/** Parses `_has:Flag:patient:status=`. https://hl7.org/fhir/R4/search.html#has */
export function parseReverse<O extends LinkOptions>(
  { modifier = '', chain }: ParameterName,
  value: string,
  options: O,
  parseSelection: ParseSelection<O>,
): LinkedCriterion | Problem {
  const [type = '', param = '', ...rest] = modifier.split(':');
  const target = options.reverses?.get(`${type}:${param}`);
  if (target === undefined) return badReverse;
  const inner = chain === undefined ? rest.join(':') : `${rest.join(':')}.${chain}`;
  const clause = parseAtTarget(inner, value, target, options, parseSelection);
  if (clause === undefined) return badReverse;
  return clause instanceof Problem ? clause : { kind: 'has', param, target: target.type, clause };
}

/** Parses the criterion on the target. Returns undefined if the parameter is not allowed there. */
function parseAtTarget<O extends LinkOptions>(
  text: string,
  value: string,
  target: LinkTarget,
  options: O,
  parseSelection: ParseSelection<O>,
): SearchClause | Problem | undefined {
  const name = parseParameterName(text);
  if (name === undefined || !target.allowed.has(name.code)) return undefined;
  return parseSelection(target.type, name, value, options);
}
