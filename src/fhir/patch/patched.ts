/** What both kinds of patch work on and within. */
import { type FaultOptions, type FhirFault, fault } from '../fault.ts';

export type JsonObject = Record<string, unknown>;

/** Takes a resource and gives the patched one; what it was given stays as it is. Throws 422 when it does not apply. */
export type ApplyPatch = (resource: JsonObject) => JsonObject;

/** So many operations in one patch. */
export const maxOperations = 50;
/** So many elements in a resource while it is patched: no operation may make it grow without end. */
const maxElements = 500;
const maxDepth = 40;

export function isJsonObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** 422: a well-formed patch that cannot be applied to this resource. */
export function cannotApply(diagnostics: string, options: FaultOptions = {}): FhirFault {
  return fault('unprocessable', diagnostics, { code: 'processing', ...options });
}

/** Throws 422 when the value has more elements, or more of them inside one another, than any resource here. */
export function refuseExcess(value: unknown): void {
  let elements = 0;
  const pending: [value: unknown, depth: number][] = [[value, 0]];
  for (let next = pending.pop(); next !== undefined; next = pending.pop()) {
    const [current, depth] = next;
    if (typeof current !== 'object' || current === null) continue;
    const members = Object.values(current);
    elements += members.length;
    if (elements > maxElements || depth > maxDepth) {
      throw cannotApply('The patch makes the resource larger than any that this server takes.', { code: 'too-costly' });
    }
    for (const member of members) pending.push([member, depth + 1]);
  }
}
