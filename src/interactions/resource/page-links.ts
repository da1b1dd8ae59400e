import type { Caller } from '../../cpis/caller.ts';
import { renderSelfLink, type SearchsetLink } from '../../fhir/bundle/searchset.ts';
import type { KeysetPosition, SearchQuery } from '../../fhir/search/ast.ts';
import { type CursorBinding, openCursor, type PageStart, sealCursor } from '../../fhir/search/cursor.ts';
import type { InteractionPorts } from '../port/ports.ts';

/** A search or history whose result has pages. */
export type PagedQuery = Pick<SearchQuery, 'applied' | 'cursor'> & { readonly type: string };

type PagePorts = Pick<InteractionPorts, 'baseUrl' | 'clock' | 'cursorKeys'>;

/** How long a cursor is valid. */
const cursorMaxAgeMs = 60 * 60_000;
/** Maximum pages that a client can go back. */
const rememberedPages = 5;

function bind(query: PagedQuery, caller: Caller): CursorBinding {
  return {
    caller: JSON.stringify([caller.clientId, caller.role, caller.organisation.id]),
    query: JSON.stringify([query.type, query.applied]),
  };
}

function open(query: PagedQuery, caller: Caller, ports: PagePorts, maxAgeMs: number): PageStart | undefined {
  if (query.cursor === undefined) return undefined;
  return openCursor(query.cursor, {
    binding: bind(query, caller),
    keys: ports.cursorKeys(),
    nowMs: ports.clock(),
    maxAgeMs,
  });
}

/**
 * Returns the position where this page starts; undefined for the first page. Throws 400, 403 or 410 for a cursor that
 * is not valid for this query and caller.
 */
export function openPage(query: PagedQuery, caller: Caller, ports: PagePorts): KeysetPosition | undefined {
  return open(query, caller, ports, cursorMaxAgeMs)?.position;
}

/**
 * Renders the links of a page: `self` as the server understood it, `next` if there are more matches, `first` if there
 * are several pages, and `previous` if the cursor remembers it.
 */
export function renderPageLinks(
  query: PagedQuery,
  next: KeysetPosition | undefined,
  caller: Caller,
  ports: PagePorts,
): SearchsetLink[] {
  const first = renderSelfLink(ports.baseUrl, query.type, query.applied);
  const onPage = (cursor: string): string => `${first}${query.applied.length === 0 ? '?' : '&'}_cursor=${cursor}`;
  const links: SearchsetLink[] = [{ relation: 'self', url: query.cursor === undefined ? first : onPage(query.cursor) }];
  const here = open(query, caller, ports, Number.POSITIVE_INFINITY);
  if (here !== undefined || next !== undefined) links.push({ relation: 'first', url: first });
  const binding = bind(query, caller);
  const linkTo = (relation: 'previous' | 'next', start: PageStart): void => {
    const cursor = sealCursor({ ...start, binding, issuedMs: ports.clock() }, ports.cursorKeys()[0]);
    links.push({ relation, url: onPage(cursor) });
  };
  const [before = [], position = null] = [here?.before, here?.position];
  const nearest = before.at(-1);
  if (nearest === null) links.push({ relation: 'previous', url: first });
  else if (nearest !== undefined) linkTo('previous', { position: nearest, before: before.slice(0, -1) });
  if (next !== undefined) linkTo('next', { position: next, before: [...before, position].slice(-rememberedPages) });
  return links;
}
