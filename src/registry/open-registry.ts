import { readFileSync } from 'node:fs';
import { parseJson } from '../fhir/json.ts';
import { describeExposure } from '../files/exposure.ts';
import { parseRegistry, RegistryError, type RegistryOptions } from './parse-registry.ts';
import type { Registry } from './registry.ts';

export interface RegistryHolder {
  /** The current snapshot. Read it at each use, because a reload replaces it. */
  readonly current: Registry;
  /**
   * Reads the file again and returns its problems and those that `check` finds. If there are any, the current snapshot
   * stays. Reloads run one after another.
   */
  reload(check: (next: Registry) => Promise<readonly string[]>): Promise<readonly string[]>;
}

interface OpenRegistryOptions extends RegistryOptions {
  readonly nowMs: () => number;
  readonly onReload?: (registry: Registry) => void;
}

/** Reads the registry file. Throws RegistryError if the file has problems. */
export function openRegistry(file: string, options: OpenRegistryOptions): RegistryHolder {
  let current = loadRegistry(file, options.nowMs(), options);
  let last: Promise<readonly string[]> = Promise.resolve([]);
  async function reload(check: Parameters<RegistryHolder['reload']>[0]): Promise<readonly string[]> {
    let next: Registry;
    try {
      next = loadRegistry(file, Math.max(options.nowMs(), current.revision + 1), options);
    } catch (error) {
      if (error instanceof RegistryError) return error.problems;
      throw error;
    }
    const problems = await check(next);
    if (problems.length > 0) return problems;
    current = next;
    options.onReload?.(current);
    return [];
  }
  return {
    get current() {
      return current;
    },
    reload(check) {
      last = last.catch(() => []).then(() => reload(check));
      return last;
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
  const registry = parseRegistry(json, revision, options);
  const holdsSecrets = [...registry.clients.values()].some(({ webhookSecrets }) => webhookSecrets.length > 0);
  const exposed = holdsSecrets ? describeExposure(file) : undefined;
  if (exposed !== undefined) throw new RegistryError([`webhookSecrets: ${exposed}`]);
  return registry;
}

function describeReadError(error: unknown): string {
  const code = error instanceof Error && 'code' in error ? String(error.code) : undefined;
  if (code === 'ENOENT') return 'the file does not exist';
  if (code !== undefined) return `cannot read the file (${code})`;
  return 'the file is not valid JSON, or a name occurs twice in one object';
}
