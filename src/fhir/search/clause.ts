import type { SearchParameter } from '../definitions/search-parameter.ts';
import { isResourceId } from '../references.ts';
import { ofTypeParam, type SearchClause, textParam } from './ast.ts';
import { parseDateValue } from './date.ts';
import { unescapeValue } from './escape.ts';
import { normaliseText } from './normalise-text.ts';
import type { ParameterName } from './parameter-name.ts';
import { Problem } from './problem.ts';
import { parseIdentifierValue, parseReferenceValue } from './reference.ts';
import { badEscape, parseTokenValue, parseTypedIdentifier } from './token.ts';
import { parseUriAbove } from './uri.ts';
import { parseValues } from './values.ts';

const badModifier = new Problem('not-supported', 'The modifier is not supported for this parameter.');
const badChain = new Problem('not-supported', 'This chain is not supported. See the CapabilityStatement.');
const badMissing = new Problem('invalid', 'The value of :missing must be true or false.');
const badId = new Problem('invalid', 'The value must be a resource id.');
const nothingToCompare = new Problem('invalid', 'The value must have at least one letter or digit.');

/** The context that values are parsed in. */
export interface ValueContext {
  /** The server's base URL, without a trailing slash. */
  readonly baseUrl: string;
  /** Current time for the prefix `ap`, in epoch milliseconds. Without it, `ap` is refused. */
  readonly nowMs?: number;
  /** Token parameters whose texts are indexed for `:text`. */
  readonly texts?: ReadonlySet<string>;
  /** Reference parameters without indexed identifiers. `:identifier` is refused for them; the chain is not. */
  readonly literals?: ReadonlySet<string>;
}

/** Parses one occurrence of a defined parameter. */
export function parseClause(
  parameter: SearchParameter,
  name: ParameterName,
  value: string,
  context: ValueContext,
): SearchClause | Problem {
  const { modifier, chain } = name;
  if (chain !== undefined && parameter.type !== 'reference') return badChain;
  if (modifier === 'missing' && chain === undefined) return parseMissing(parameter.code, value);
  switch (parameter.type) {
    case 'reference':
      return parseReferenceClause(parameter, name, value, context);
    case 'token':
      return parseTokenClause(parameter.code, modifier, value, context.texts);
    case 'date': {
      if (modifier !== undefined) return badModifier;
      const any = parseValues(value, (text) => parseDateValue(text, context.nowMs));
      return any instanceof Problem ? any : { kind: 'date', param: parameter.code, any };
    }
    case 'string':
      return parseStringClause(parameter.code, modifier, value);
    case 'uri':
      return parseUriClause(parameter.code, modifier, value);
  }
}

/** Parses `_id`. https://hl7.org/fhir/R4/search.html#id */
export function parseIdClause(name: ParameterName, value: string): SearchClause | Problem {
  if (name.modifier !== undefined || name.chain !== undefined) return badModifier;
  const any = parseValues(value, (text) => (isResourceId(text) ? text : badId));
  return any instanceof Problem ? any : { kind: 'id', any };
}

/** Parses `_lastUpdated`. https://hl7.org/fhir/R4/search.html#lastUpdated */
export function parseLastUpdatedClause(
  name: ParameterName,
  value: string,
  { nowMs }: ValueContext,
): SearchClause | Problem {
  if (name.modifier !== undefined || name.chain !== undefined) return badModifier;
  const any = parseValues(value, (text) => parseDateValue(text, nowMs));
  return any instanceof Problem ? any : { kind: 'last-updated', any };
}

function parseMissing(param: string, value: string): SearchClause | Problem {
  return value === 'true' || value === 'false' ? { kind: 'missing', param, missing: value === 'true' } : badMissing;
}

/**
 * Parses `p`, `p:Type`, `p:identifier`, and the chains `p.identifier` and `p:Type.identifier`, which mean
 * `p:identifier`.
 */
function parseReferenceClause(
  parameter: SearchParameter,
  { modifier, chain }: ParameterName,
  value: string,
  { baseUrl, literals }: ValueContext,
): SearchClause | Problem {
  const param = parameter.code;
  const byIdentifier = modifier === 'identifier' && chain === undefined;
  if (chain !== undefined && chain !== 'identifier') return badChain;
  if (byIdentifier && literals?.has(param) === true) return badModifier;
  if (modifier !== undefined && !byIdentifier && !parameter.targets.includes(modifier)) return badModifier;
  const any = parseValues(
    value,
    byIdentifier || chain !== undefined
      ? parseIdentifierValue
      : (text) => parseReferenceValue(text, parameter, modifier, baseUrl),
  );
  return any instanceof Problem ? any : { kind: 'reference', param, any };
}

/** Parses `t`, `t:not`, `t:text` and, for identifiers, `t:of-type`. https://hl7.org/fhir/R4/search.html#token */
function parseTokenClause(
  param: string,
  modifier: string | undefined,
  value: string,
  texts: ReadonlySet<string> | undefined,
): SearchClause | Problem {
  if (modifier === 'text') {
    return texts?.has(param) === true ? parseStringClause(textParam(param), undefined, value) : badModifier;
  }
  const typed = modifier === 'of-type' && param === 'identifier';
  if (modifier !== undefined && modifier !== 'not' && !typed) return badModifier;
  const any = parseValues(value, typed ? parseTypedIdentifier : parseTokenValue);
  if (any instanceof Problem) return any;
  return { kind: 'token', param: typed ? ofTypeParam(param) : param, negated: modifier === 'not', any };
}

function parseStringClause(param: string, modifier: string | undefined, value: string): SearchClause | Problem {
  if (modifier !== undefined && modifier !== 'exact' && modifier !== 'contains') return badModifier;
  const any = parseValues(value, modifier === 'exact' ? parsePlain : parseNormalised);
  return any instanceof Problem ? any : { kind: 'string', param, match: modifier ?? 'starts', any };
}

/**
 * Parses `u`, `u:below`, and `u:above`, which becomes a list of all URIs above. https://hl7.org/fhir/R4/search.html#uri
 */
function parseUriClause(param: string, modifier: string | undefined, value: string): SearchClause | Problem {
  if (modifier !== undefined && modifier !== 'above' && modifier !== 'below') return badModifier;
  const any = modifier === 'above' ? parseUriAbove(value) : parseValues(value, parsePlain);
  return any instanceof Problem ? any : { kind: 'uri', param, match: modifier === 'below' ? 'below' : 'exact', any };
}

function parsePlain(text: string): string | Problem {
  return unescapeValue(text) ?? badEscape;
}

function parseNormalised(text: string): string | Problem {
  const plain = unescapeValue(text);
  if (plain === undefined) return badEscape;
  const normalised = normaliseText(plain);
  return normalised === '' ? nothingToCompare : normalised;
}
