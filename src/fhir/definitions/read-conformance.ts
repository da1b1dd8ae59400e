import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';

/** A conformance resource as its file has it. */
interface ConformanceResource {
  readonly resource: { readonly resourceType: string; readonly id: string };
  /** When the file was last changed, epoch milliseconds. */
  readonly lastUpdatedMs: number;
}

/** Reads the conformance resources (`*.json`) of a folder, each with an id of its own within its type. */
export function readConformance(folder: string): ConformanceResource[] {
  return readdirSync(folder)
    .filter((name) => name.endsWith('.json'))
    .sort()
    .map((name) => {
      const file = join(folder, name);
      const resource = JSON.parse(readFileSync(file, 'utf8')) as { resourceType?: unknown; id?: unknown };
      const { resourceType, id } = resource;
      if (typeof resourceType !== 'string' || typeof id !== 'string') {
        throw new Error(`profile ${name}: there is no resourceType or id`);
      }
      return { resource: { ...resource, resourceType, id }, lastUpdatedMs: Math.floor(statSync(file).mtimeMs) };
    });
}
