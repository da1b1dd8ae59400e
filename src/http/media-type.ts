/** Negotiates media types. Only JSON is served. https://hl7.org/fhir/R4/http.html#mime-type */
import { fault } from '../fhir/fault.ts';
import type { QueryPair } from './query.ts';

export const fhirJson = 'application/fhir+json; charset=utf-8';

/** Returns the `Content-Type` of a response; it includes the FHIR version if Accept or `_format` asked for one. */
export function answerType(accept: string | undefined, url: string): string {
  const isVersioned = /;\s*fhirversion=/i.test(accept ?? '') || asksVersion(url);
  return isVersioned ? `${fhirJson}; fhirVersion=4.0` : fhirJson;
}

function asksVersion(url: string): boolean {
  if (!url.includes('_format=')) return false;
  return url.split(/[?&]/).some((pair) => pair.startsWith('_format=') && /fhirversion/i.test(pair));
}

const accepted = new Set(['application/fhir+json', 'application/json', 'application/*', '*/*']);
/** `+` in a query decodes to a space, so that `application/fhir+json` may arrive with one. */
const formats = new Set(['json', 'application/json', 'application/fhir+json', 'application/fhir json']);

/** Throws `not-acceptable` unless the Accept header, if any, accepts FHIR R4 JSON. */
export function checkAccept(accept: string | undefined): void {
  if (accept === undefined || accept === '' || accepted.has(accept)) return;
  for (const range of accept.split(',')) {
    const [type = '', ...parameters] = range.split(';').map((part) => part.trim().toLowerCase());
    if (accepted.has(type) && parameters.every(isAcceptParameter)) return;
  }
  throw fault(
    'not-acceptable',
    'This server answers only in application/fhir+json of FHIR 4.0. Accept it, or leave Accept out.',
    {
      expression: ['http.accept'],
    },
  );
}

function isAcceptParameter(parameter: string): boolean {
  if (parameter.startsWith('q=')) return Number(parameter.slice(2)) > 0;
  return isTypeParameter(parameter);
}

function isTypeParameter(parameter: string): boolean {
  const [name = '', value = ''] = parameter.split('=').map((part) => part.trim());
  const bare = value.replaceAll('"', '');
  if (name === 'fhirversion') return bare === '4.0' || bare === '4.0.1';
  if (name === 'charset') return bare === 'utf-8' || bare === 'utf8';
  return true;
}

/** Removes `_format` from the pairs. Returns true if it was there; Accept is then ignored. */
export function takeFormat(pairs: QueryPair[]): boolean {
  let found = false;
  for (let index = pairs.length - 1; index >= 0; index--) {
    const pair = pairs[index];
    if (pair === undefined || pair[0] !== '_format') continue;
    const [format = '', ...parameters] = pair[1].split(';').map((part) => part.trim().toLowerCase());
    if (!formats.has(format) || !parameters.every(isTypeParameter)) {
      throw fault('not-acceptable', 'This server answers only in JSON. Send _format=json, or leave _format out.', {
        expression: ['_format'],
      });
    }
    pairs.splice(index, 1);
    found = true;
  }
  return found;
}

/** Throws `media-type` for a body that is compressed, not in UTF-8 or not FHIR 4.0. */
export function checkContentHeaders(contentType: string | undefined, contentEncoding: string | undefined): void {
  if (contentEncoding !== undefined && contentEncoding !== 'identity') {
    throw fault('media-type', 'The body is compressed. Send it uncompressed.', {
      expression: ['http.content-encoding'],
    });
  }
  if (contentType === undefined || !contentType.includes(';')) return;
  const [, ...parameters] = contentType.split(';').map((part) => part.trim().toLowerCase());
  if (!parameters.every(isTypeParameter)) {
    throw fault('media-type', 'The body must be FHIR 4.0 in UTF-8. Correct the charset or fhirVersion.', {
      expression: ['http.content-type'],
    });
  }
}
