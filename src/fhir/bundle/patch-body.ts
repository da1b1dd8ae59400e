import { fault } from '../fault.ts';
import { parseJson } from '../json.ts';

const base64 = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/;

/**
 * Returns the patch in a Bundle entry: a Parameters resource, or the JSON Patch in a Binary with content type
 * `application/json-patch+json`. `at` is the path of the entry's resource. https://hl7.org/fhir/R4/http.html#patch
 */
export function readPatchBody(resource: unknown, at: string): unknown {
  const { resourceType, contentType, data } = (resource ?? {}) as Readonly<Record<string, unknown>>;
  if (resourceType === 'Parameters') return resource;
  if (resourceType !== 'Binary') {
    throw fault('structure', 'A PATCH entry must hold a Binary with a JSON Patch, or Parameters.', {
      expression: [at],
    });
  }
  if (contentType !== 'application/json-patch+json') {
    throw fault('structure', 'The contentType of the Binary must be application/json-patch+json.', {
      expression: [`${at}.contentType`],
    });
  }
  if (typeof data !== 'string' || !base64.test(data)) {
    throw fault('structure', 'The data of the Binary must hold the JSON Patch as base64.', {
      expression: [`${at}.data`],
    });
  }
  return parseJson(Buffer.from(data, 'base64'));
}
