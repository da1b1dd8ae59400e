/** The paths that are served, so that a wrong method can be told from a wrong path. */

interface ServedPaths {
  add(template: string, method: string): void;
  /** The methods of the path of a request target, `[base]` cut off: undefined when no method serves it. */
  allowed(path: string): readonly string[] | undefined;
}

/** Templates are `/Type`, `/Type/:id`, `/Type/_search`, these with `/_history` or `/_history/:vid`, `/Type/:id/` and an operation or a type, `/metadata` and the empty one. */
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

function templateOf(path: string): string {
  const [, type = '', id, history, vid, ...rest] = path.split('/');
  if (rest.length === 0 && history !== undefined && history !== '_history') {
    return `/${type}/:id/${history}${vid === undefined ? '' : `/${vid}`}`;
  }
  if (rest.length > 0 || id?.startsWith('$') === true) return path;
  if (history === '_history' && vid !== undefined) return `/${type}/:id/_history/:vid`;
  if (history === '_history' && id !== undefined) return `/${type}/:id/_history`;
  return history === undefined && id !== undefined ? `/${type}/:id` : path;
}
