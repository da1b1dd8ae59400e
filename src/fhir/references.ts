/** Parses literal references. https://hl7.org/fhir/R4/references.html#literal */

export interface LiteralReference {
  readonly type: string;
  readonly id: string;
  /** From `Type/id/_history/version`. */
  readonly version?: string;
}

/** https://hl7.org/fhir/R4/datatypes.html#id */
const idPattern = /^[A-Za-z0-9\-.]{1,64}$/;
const relativePattern = /^([A-Z][A-Za-z]{1,63})\/([A-Za-z0-9\-.]{1,64})(?:\/_history\/([A-Za-z0-9\-.]{1,64}))?$/;

export function isResourceId(text: string): boolean {
  return idPattern.test(text);
}

/**
 * Parses `Type/id`, `Type/id/_history/version`, or one of these under `baseUrl` (without a trailing slash). Returns
 * undefined for anything else: a URL of another server, `urn:`, `#contained`, a canonical URL, or text that is not a
 * reference.
 */
export function parseReference(text: string, baseUrl: string): LiteralReference | undefined {
  const isLocal = text.startsWith(baseUrl) && text.charCodeAt(baseUrl.length) === 0x2f;
  const match = relativePattern.exec(isLocal ? text.slice(baseUrl.length + 1) : text);
  if (match === null) return undefined;
  const [, type = '', id = '', version] = match;
  return version === undefined ? { type, id } : { type, id, version };
}
