/** Renders history Bundles as JSON text. https://hl7.org/fhir/R4/bundle.html#history */

interface HistoryBundleEntry {
  readonly type: string;
  readonly id: string;
  readonly version: number;
  readonly lastUpdatedMs: number;
  /** The HTTP method that created the version. */
  readonly method: string;
  /** The JSON text of the resource; null for a deletion. */
  readonly body: string | null;
}

export interface HistoryBundle {
  /** The number of all entries, over all pages. */
  readonly total?: number;
  readonly links: readonly { readonly relation: string; readonly url: string }[];
  readonly entries: readonly HistoryBundleEntry[];
}

export function renderHistory({ total, links, entries }: HistoryBundle, baseUrl: string): string {
  const rendered = entries.map((entry) => renderEntry(entry, baseUrl));
  return (
    `{"resourceType":"Bundle","type":"history"${total === undefined ? '' : `,"total":${total}`}` +
    `,"link":${JSON.stringify(links)}${rendered.length === 0 ? '' : `,"entry":[${rendered.join(',')}]`}}`
  );
}

function renderEntry({ type, id, version, lastUpdatedMs, method, body }: HistoryBundleEntry, baseUrl: string): string {
  const request = { method, url: method === 'POST' ? type : `${type}/${id}` };
  const response = {
    status: body === null ? '204 No Content' : version === 1 ? '201 Created' : '200 OK',
    etag: `W/"${version}"`,
    lastModified: new Date(lastUpdatedMs).toISOString(),
  };
  const resource = body === null ? '' : `,"resource":${body}`;
  return (
    `{"fullUrl":${JSON.stringify(`${baseUrl}/${type}/${id}`)}${resource},` +
    `"request":${JSON.stringify(request)},"response":${JSON.stringify(response)}}`
  );
}
