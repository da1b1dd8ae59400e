import type { Definitions } from '../definitions/definitions.ts';
import { fault } from '../fault.ts';
import type { Steps } from '../steps.ts';
import { parseFhirPathPatch } from './fhirpath-patch.ts';
import { parseJsonPatch } from './json-patch.ts';
import { type ApplyPatch, cannotApply, isJsonObject, type JsonObject } from './patched.ts';

/**
 * Parses a patch: an array is a JSON Patch, a Parameters resource a FHIRPath Patch. Throws a 400 fault if it is
 * malformed. The returned function applies it completely or throws a 422 fault, also if the patch changes one of the
 * elements `kept`. https://hl7.org/fhir/R4/http.html#patch
 */
export function* parsePatch(document: unknown, kept: readonly string[], definitions: Definitions): Steps<ApplyPatch> {
  const apply = yield* readPatch(document, definitions);
  return function* (resource) {
    const patched = yield* apply(resource);
    const changed = kept.filter(
      (name) => !isSame(patched[name], resource[name]) || !isSame(patched[`_${name}`], resource[`_${name}`]),
    );
    if (changed.length === 0) return patched;
    throw cannotApply('A patch must not change these elements.', {
      code: 'business-rule',
      expression: changed.map((name) => `${String(resource['resourceType'])}.${name}`),
    });
  };
}

function* readPatch(document: unknown, definitions: Definitions): Steps<ApplyPatch> {
  if (Array.isArray(document)) return parseJsonPatch(document);
  if (isJsonObject(document) && document['resourceType'] === 'Parameters') {
    return yield* parseFhirPathPatch(document, definitions);
  }
  throw fault(
    'structure',
    'A patch must be a JSON Patch (an array) or a Parameters resource with FHIRPath Patch operations.',
  );
}

function isSame(a: unknown, b: unknown): boolean {
  return JSON.stringify(sorted(a)) === JSON.stringify(sorted(b));
}

function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted);
  if (!isJsonObject(value)) return value;
  const members: JsonObject = {};
  for (const name of Object.keys(value).sort()) members[name] = sorted(value[name]);
  return members;
}
