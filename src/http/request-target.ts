/**
 * Refuses requests that Node's HTTP parser accepts and that another parser, such as a proxy's, may read differently.
 */
import type { FastifyRequest } from 'fastify';
import { fault } from '../fhir/fault.ts';

/** Headers that must not be repeated. Node would keep the first one or join them. */
const single = new Set([
  'authorization',
  'content-encoding',
  'content-length',
  'content-type',
  'host',
  'if-match',
  'if-none-exist',
  'isunscheduledaccessevent',
  'transfer-encoding',
  'x-correlation-id',
  'x-request-id',
]);

/** Throws `invalid` if a header that must be sent once is repeated. `rawHeaders` alternates names and values. */
export function checkSingleHeaders(rawHeaders: readonly string[]): void {
  let seen: string[] | undefined;
  for (let index = 0; index < rawHeaders.length; index += 2) {
    const name = (rawHeaders[index] ?? '').toLowerCase();
    if (!single.has(name)) continue;
    if (seen === undefined) seen = [name];
    else if (seen.includes(name)) throw fault('invalid', 'A header that must be sent once is repeated.');
    else seen.push(name);
  }
}

/** Throws `invalid` unless the request target is a path with an optional query (RFC 9112, origin-form). */
export function checkTarget(target: string): void {
  if (target.charCodeAt(0) !== 0x2f || target.includes('#') || target.startsWith('//')) {
    throw fault('invalid', 'The request target must be a path that starts with a single slash, and may have a query.');
  }
}

/** Returns the path of the request target, below the FHIR base at `basePath`. */
export function pathBelow(request: FastifyRequest, basePath: string): string {
  const [path = ''] = (request.raw.url ?? '').split('?', 1);
  return path.slice(basePath.length);
}

/** Returns the query of the request target, still encoded. */
export function queryOf(request: FastifyRequest): string {
  const target = request.raw.url ?? '';
  const mark = target.indexOf('?');
  return mark === -1 ? '' : target.slice(mark + 1);
}
