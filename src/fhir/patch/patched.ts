/** Shared by both kinds of patch. */
import { type FaultOptions, type FhirFault, fault } from '../fault.ts';
import type { Steps } from '../steps.ts';

export type JsonObject = Record<string, unknown>;

/** Returns the patched copy of a resource. Throws a 422 fault if the patch does not apply. */
export type ApplyPatch = (resource: JsonObject) => Steps<JsonObject>;

/** Maximum number of operations in a patch. */
export const maxOperations = 50;
/** Maximum number of elements in a resource while it is patched, so that no operation makes it grow without limit. */
const maxElements = 500;
const maxDepth = 40;

export function isJsonObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** Builds the 422 fault for a well-formed patch that cannot be applied to this resource. */
export function cannotApply(diagnostics: string, options: FaultOptions = {}): FhirFault {
  return fault('unprocessable', diagnostics, { code: 'processing', ...options });
}

/** Throws a 422 fault if the value is larger or deeper than any resource that this server accepts. */
export function refuseExcess(value: unknown): void {
  let elements = 0;
  const pending: [value: unknown, depth: number][] = [[value, 0]];
  for (let next = pending.pop(); next !== undefined; next = pending.pop()) {
    const [current, depth] = next;
    if (typeof current !== 'object' || current === null) continue;
    const members = Object.values(current);
    elements += members.length;
    if (elements > maxElements || depth > maxDepth) {
      throw cannotApply('The patch makes the resource larger than this server accepts.', { code: 'too-costly' });
    }
    for (const member of members) pending.push([member, depth + 1]);
  }
}
