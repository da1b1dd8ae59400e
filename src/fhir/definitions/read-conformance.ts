import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';

/** A conformance resource and the time of its file. */
interface ConformanceResource {
  readonly resource: { readonly resourceType: string; readonly id: string };
  /** Modification time of the file, epoch milliseconds. */
  readonly lastUpdatedMs: number;
}

/** Reads the conformance resources (`*.json`) of a folder. Throws Error if one has no resourceType or id. */
export function readConformance(folder: string): ConformanceResource[] {
  return readdirSync(folder)
    .filter((name) => name.endsWith('.json'))
    .sort()
    .map((name) => {
      const file = join(folder, name);
      const resource = JSON.parse(readFileSync(file, 'utf8')) as { resourceType?: unknown; id?: unknown };
      const { resourceType, id } = resource;
      if (typeof resourceType !== 'string' || typeof id !== 'string') {
        throw new Error(`profile ${name}: the resourceType or id is missing`);
      }
      return { resource: { ...resource, resourceType, id }, lastUpdatedMs: Math.floor(statSync(file).mtimeMs) };
    });
}
