import { readFileSync } from 'node:fs';
import { parseJson } from '../fhir/json.ts';
import { parseRegistry, RegistryError, type RegistryOptions } from './parse-registry.ts';
import type { Registry } from './registry.ts';

export interface RegistryHolder {
  /** The current snapshot. Read it at each use, because a reload replaces it. */
  readonly current: Registry;
  /**
   * Reads the file again and returns its problems. If there are any, the current snapshot stays. A local authority must
   * not be removed, because its plans may still be shown and its telephone numbers are only in the registry.
   */
  reload(): readonly string[];
}

interface OpenRegistryOptions extends RegistryOptions {
  readonly nowMs: () => number;
  readonly onReload?: (registry: Registry) => void;
}

/** Reads the registry file. Throws RegistryError if the file has problems. */
export function openRegistry(file: string, options: OpenRegistryOptions): RegistryHolder {
  let current = loadRegistry(file, options.nowMs(), options);
  return {
    get current() {
      return current;
    },
    reload() {
      let next: Registry;
      try {
        next = loadRegistry(file, Math.max(options.nowMs(), current.revision + 1), options);
      } catch (error) {
        if (error instanceof RegistryError) return error.problems;
        throw error;
      }
      const gone = [...current.authorities.keys()].filter((id) => !next.authorities.has(id));
      if (gone.length > 0) {
        return gone.map(
          (id) => `organisations: local authority ${id} is missing; add it again, because its plans may still be shown`,
        );
      }
      current = next;
      options.onReload?.(current);
      return [];
    },
  };
}

function loadRegistry(file: string, revision: number, options: RegistryOptions): Registry {
  let json: unknown;
  try {
    json = parseJson(readFileSync(file), { maxKeys: 2_000_000 });
  } catch (error) {
    throw new RegistryError([describeReadError(error)]);
  }
  return parseRegistry(json, revision, options);
}

function describeReadError(error: unknown): string {
  const code = error instanceof Error && 'code' in error ? String(error.code) : undefined;
  if (code === 'ENOENT') return 'the file does not exist';
  if (code !== undefined) return `cannot read the file (${code})`;
  return 'the file is not valid JSON, or a name occurs twice in one object';
}
