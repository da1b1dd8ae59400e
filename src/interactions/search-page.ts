import type { Caller } from '../cpis/caller.ts';
import { renderSelfLink, type SearchsetLink } from '../fhir/bundle/searchset.ts';
import type { KeysetPosition, SearchQuery } from '../fhir/search/ast.ts';
import { type CursorBinding, openCursor, sealCursor } from '../fhir/search/cursor.ts';
import type { InteractionPorts } from './ports.ts';

/** A search or history that is answered in pages. */
export type PagedQuery = Pick<SearchQuery, 'applied' | 'cursor'> & { readonly type: string };

/** How long a client may take between two pages. */
const cursorMaxAgeMs = 60 * 60_000;

function bind(query: PagedQuery, caller: Caller): CursorBinding {
  return {
    caller: JSON.stringify([caller.clientId, caller.role, caller.organisation.id]),
    query: JSON.stringify([query.type, query.applied]),
  };
}

/** Where this page begins; undefined on the first one. Throws 400, 403 or 410 for a cursor that is not good for it. */
export function openPage(query: PagedQuery, caller: Caller, ports: InteractionPorts): KeysetPosition | undefined {
  if (query.cursor === undefined) return undefined;
  return openCursor(query.cursor, {
    binding: bind(query, caller),
    key: ports.cursorKey,
    nowMs: ports.clock(),
    maxAgeMs: cursorMaxAgeMs,
  });
}

/** `self` as understood, `next` where there is more, and `first` where there are several pages. */
export function renderPageLinks(
  query: PagedQuery,
  next: KeysetPosition | undefined,
  caller: Caller,
  ports: InteractionPorts,
): SearchsetLink[] {
  const first = renderSelfLink(ports.baseUrl, query.type, query.applied);
  const onPage = (cursor: string): string => `${first}${query.applied.length === 0 ? '?' : '&'}_cursor=${cursor}`;
  const links: SearchsetLink[] = [{ relation: 'self', url: query.cursor === undefined ? first : onPage(query.cursor) }];
  if (query.cursor !== undefined || next !== undefined) links.push({ relation: 'first', url: first });
  if (next === undefined) return links;
  const binding = bind(query, caller);
  const cursor = sealCursor({ position: next, binding, issuedMs: ports.clock() }, ports.cursorKey);
  links.push({ relation: 'next', url: onPage(cursor) });
  return links;
}
