/** Renders searchset Bundles as JSON text from the stored texts. https://hl7.org/fhir/R4/bundle.html#searchset */

export interface SearchsetLink {
  readonly relation: 'self' | 'first' | 'previous' | 'next';
  readonly url: string;
}

export interface SearchsetEntry {
  /** Absent for an OperationOutcome. */
  readonly fullUrl?: string;
  /** The JSON text of the resource, copied into the Bundle unchanged. */
  readonly body: string;
  readonly mode: 'match' | 'include' | 'outcome';
}

export interface Searchset {
  readonly id?: string;
  /** `meta.lastUpdated`: the time of the response, epoch milliseconds. */
  readonly lastUpdatedMs?: number;
  /** The number of all matches, over all pages. */
  readonly total?: number;
  readonly links: readonly SearchsetLink[];
  readonly entries: readonly SearchsetEntry[];
}

export function renderSearchset({ id, lastUpdatedMs, total, links, entries }: Searchset): string {
  let text = '{"resourceType":"Bundle"';
  if (id !== undefined) text += `,"id":${JSON.stringify(id)}`;
  if (lastUpdatedMs !== undefined) text += `,"meta":{"lastUpdated":"${new Date(lastUpdatedMs).toISOString()}"}`;
  text += ',"type":"searchset"';
  if (total !== undefined) text += `,"total":${total}`;
  let separator = ',"link":[';
  for (const { relation, url } of links) {
    text += `${separator}{"relation":"${relation}","url":${JSON.stringify(url)}}`;
    separator = ',';
  }
  if (links.length > 0) text += ']';
  separator = ',"entry":[';
  for (const { fullUrl, body, mode } of entries) {
    const url = fullUrl === undefined ? '' : `"fullUrl":${JSON.stringify(fullUrl)},`;
    text += `${separator}{${url}"resource":${body},"search":{"mode":"${mode}"}}`;
    separator = ',';
  }
  return entries.length > 0 ? `${text}]}` : `${text}}`;
}

/** Renders `baseUrl/type?name=value&...` from the understood parameters (`SearchQuery.applied`). */
export function renderSelfLink(
  baseUrl: string,
  type: string,
  applied: readonly (readonly [name: string, value: string])[],
): string {
  let url = `${baseUrl}/${type}`;
  let separator = '?';
  for (const [name, value] of applied) {
    url += `${separator}${encodeQuery(name)}=${encodeQuery(value)}`;
    separator = '&';
  }
  return url;
}

const readable = /%(3A|2C|2F|40|24)/g;

/** Percent-encodes text, except `:` `,` `/` `@` and `$`, which are allowed in a query and more readable. */
function encodeQuery(text: string): string {
  return encodeURIComponent(text).replace(readable, decodeURIComponent);
}
