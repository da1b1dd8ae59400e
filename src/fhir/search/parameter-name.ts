/** A parsed name: `code`, `code:modifier`, `code.chain` or `code:modifier.chain`. */
export interface ParameterName {
  readonly code: string;
  /** A modifier (https://hl7.org/fhir/R4/search.html#modifiers) or a resource type. */
  readonly modifier: string | undefined;
  /** https://hl7.org/fhir/R4/search.html#chaining */
  readonly chain: string | undefined;
}

const namePattern = /^[A-Za-z_][A-Za-z0-9_.:-]{0,63}$/;

/** Parses a parameter name. Returns undefined for text that cannot be one, such as `patient[$ne]`. */
export function parseParameterName(name: string): ParameterName | undefined {
  if (!namePattern.test(name)) return undefined;
  const dot = name.indexOf('.');
  const head = dot === -1 ? name : name.slice(0, dot);
  const chain = dot === -1 ? undefined : name.slice(dot + 1);
  const colon = head.indexOf(':');
  if (colon === -1) return { code: head, modifier: undefined, chain };
  return { code: head.slice(0, colon), modifier: head.slice(colon + 1), chain };
}

/**
 * Returns the start of a malformed name, up to the first character that no name has. It is probably the intended code.
 */
export function leadingCode(name: string): string {
  return /^[A-Za-z0-9_-]{0,64}/.exec(name)?.[0] ?? '';
}

/**
 * Returns the name of an unknown parameter for `OperationOutcome.issue.expression`. Returns `http.parameter` if the
 * text is not a name or holds ten digits in a row, which may be an NHS number.
 */
export function nameParameter(name: string): string {
  return /^[A-Za-z0-9_.:-]{1,64}$/.test(name) && !/(?:\d[_.:-]?){10}/.test(name) ? name : 'http.parameter';
}
