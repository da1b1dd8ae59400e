/** Criteria on other resources: chains and `_has`. https://hl7.org/fhir/R4/search.html#chaining */
import type { LinkedCriterion, SearchClause } from './ast.ts';
import { type ParameterName, parseParameterName } from './parameter-name.ts';
import { Problem } from './problem.ts';

/** What may be asked of the resource at the other end of a reference. */
export interface LinkTarget {
  readonly type: string;
  /** Codes served there. */
  readonly allowed: ReadonlySet<string>;
}

export interface LinkOptions {
  /** By reference parameter of the type that is searched: what it may be chained to. */
  readonly chains?: ReadonlyMap<string, LinkTarget>;
  /** By `Type:parameter`, the reference back: what `_has` takes. */
  readonly reverses?: ReadonlyMap<string, LinkTarget>;
}

const badChain = new Problem('not-supported', 'This chain is not supported; see the CapabilityStatement.');
const badReverse = new Problem('not-supported', 'This _has is not supported; see the CapabilityStatement.');

type ParseSelection<O> = (type: string, name: ParameterName, value: string, options: O) => SearchClause | Problem;

/**
 * `patient.birthdate=`, `patient:Patient.birthdate=`; undefined when the name is no chain, or a chain to `identifier`,
 * which a reference clause takes by itself.
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

/** `_has:Flag:patient:status=`. https://hl7.org/fhir/R4/search.html#has */
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

/** One criterion at the other end; undefined when it is none that is served there. */
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
