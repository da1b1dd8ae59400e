/** Records which methods serve which path, to tell a wrong method (405) from a wrong path (404). */
import { type FhirFault, fault } from '../fhir/fault.ts';

export interface ServedPaths {
  add(template: string, method: string): void;
  /** Returns the methods that serve a path below the FHIR base; undefined if none does. */
  allowed(path: string): readonly string[] | undefined;
}

/**
 * Builds an empty record of paths. Templates are `/Type`, `/Type/:id`, `/Type/_search`, these with `/_history` or
 * `/_history/:vid`, `/Type/:id/` and an operation or a type, `/metadata` and the empty one.
 */
export function buildServedPaths(): ServedPaths {
  const methods = new Map<string, Set<string>>();
  return {
    add(template, method) {
      const served = methods.get(template) ?? new Set();
      served.add(method);
      if (method === 'GET') served.add('HEAD');
      methods.set(template, served);
    },
    allowed(path) {
      const served = methods.get(path) ?? methods.get(templateOf(path));
      return served === undefined ? undefined : [...served, 'OPTIONS'];
    },
  };
}

/** Returns true for a path segment such as `$validate` or `_search`, which cannot be an id. */
export function isReserved(segment: string | undefined): boolean {
  return segment === '' || segment?.startsWith('$') === true || segment?.startsWith('_') === true;
}

function templateOf(path: string): string {
  const [, type = '', id, history, vid, ...rest] = path.split('/');
  if (rest.length > 0 || isReserved(id)) return path;
  if (history !== undefined && history !== '_history') {
    return `/${type}/:id/${history}${vid === undefined ? '' : `/${vid}`}`;
  }
  if (history === '_history' && vid !== undefined) return `/${type}/:id/_history/:vid`;
  if (history === '_history' && id !== undefined) return `/${type}/:id/_history`;
  return history === undefined && id !== undefined ? `/${type}/:id` : path;
}

/** Returns the fault for a path that is not served with this method: 405 if other methods serve it, else 404. */
export function notServed(allowed: readonly string[] | undefined): FhirFault {
  if (allowed === undefined) {
    return fault(
      'not-found',
      'This server serves no such resource type, interaction or operation. /metadata lists those it serves.',
      { code: 'not-supported' },
    );
  }
  return fault(
    'method',
    'This server does not serve this method at this path. The Allow header lists the methods that it serves.',
  );
}
