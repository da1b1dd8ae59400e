/** `code`, `code:modifier`, `code.chain` and `code:modifier.chain`. */
export interface ParameterName {
  readonly code: string;
  /** https://hl7.org/fhir/R4/search.html#modifiers, or a resource type. */
  readonly modifier: string | undefined;
  /** https://hl7.org/fhir/R4/search.html#chaining */
  readonly chain: string | undefined;
}

const namePattern = /^[A-Za-z_][A-Za-z0-9_.:-]{0,63}$/;

/** Undefined when the name is none that a search parameter can have (`patient[$ne]`, an empty name). */
export function parseParameterName(name: string): ParameterName | undefined {
  if (!namePattern.test(name)) return undefined;
  const dot = name.indexOf('.');
  const head = dot === -1 ? name : name.slice(0, dot);
  const chain = dot === -1 ? undefined : name.slice(dot + 1);
  const colon = head.indexOf(':');
  if (colon === -1) return { code: head, modifier: undefined, chain };
  return { code: head.slice(0, colon), modifier: head.slice(colon + 1), chain };
}

/** The part of a malformed name that stands before its first character out of place: what it was probably meant for. */
export function leadingCode(name: string): string {
  return /^[A-Za-z0-9_-]{0,64}/.exec(name)?.[0] ?? '';
}
