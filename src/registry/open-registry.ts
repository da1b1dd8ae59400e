import { readFileSync } from 'node:fs';
import { FhirFault } from '../fhir/fault.ts';
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

/** Reads and checks a registry file. `revision`: the time in epoch milliseconds. Throws RegistryError with its problems. */
export function loadRegistry(file: string, revision: number, options: RegistryOptions): Registry {
  try {
    return readRegistry(file, revision, options);
  } catch (error) {
    throw error instanceof RegistryError ? new RegistryError(error.problems, file) : error;
  }
}

function readRegistry(file: string, revision: number, options: RegistryOptions): Registry {
  let json: unknown;
  try {
    json = parseJson(withoutByteOrderMark(readFileSync(file)), { maxKeys: 2_000_000 });
  } catch (error) {
    throw new RegistryError([describeReadError(error)]);
  }
  const registry = parseRegistry(json, revision, options);
  const holdsSecrets = [...registry.clients.values()].some(({ webhookSecrets }) => webhookSecrets.length > 0);
  const exposed = holdsSecrets ? describeExposure(file) : undefined;
  if (exposed !== undefined) throw new RegistryError([`webhookSecrets: ${exposed}`]);
  return registry;
}

/** Editors on Windows write it, and it means nothing in UTF-8. */
function withoutByteOrderMark(bytes: Buffer): Buffer {
  return bytes.subarray(0, 3).equals(Buffer.from([0xef, 0xbb, 0xbf])) ? bytes.subarray(3) : bytes;
}

function describeReadError(error: unknown): string {
  if (error instanceof FhirFault) return error.issues[0]?.diagnostics ?? error.message;
  const code = error instanceof Error && 'code' in error ? String(error.code) : undefined;
  if (code === 'ENOENT') return 'the file does not exist';
  return `cannot read the file (${code ?? 'unknown error'})`;
}
