/**
 * Response status of each answer and each fault. FHIR R4 defines these itself (https://hl7.org/fhir/R4/http.html) and
 * repeats them in `Bundle.entry.response.status`, so that one table serves both the HTTP reply and the response entry.
 */
import type { FaultCategory } from './fault.ts';

export interface ResponseStatus {
  readonly code: number;
  readonly phrase: string;
}

/** Status of an answer, by its kind. */
export const answerStatus = {
  ok: { code: 200, phrase: 'OK' },
  created: { code: 201, phrase: 'Created' },
  deleted: { code: 204, phrase: 'No Content' },
  'not-modified': { code: 304, phrase: 'Not Modified' },
} as const satisfies Readonly<Record<string, ResponseStatus>>;

/** Status of a fault, by its category. docs/errors.md has one row for each, which a test enforces. */
export const faultStatus: Readonly<Record<FaultCategory, ResponseStatus>> = {
  invalid: { code: 400, phrase: 'Bad Request' },
  structure: { code: 400, phrase: 'Bad Request' },
  required: { code: 400, phrase: 'Bad Request' },
  'not-supported': { code: 400, phrase: 'Bad Request' },
  login: { code: 401, phrase: 'Unauthorized' },
  forbidden: { code: 403, phrase: 'Forbidden' },
  'not-found': { code: 404, phrase: 'Not Found' },
  method: { code: 405, phrase: 'Method Not Allowed' },
  'not-acceptable': { code: 406, phrase: 'Not Acceptable' },
  'request-timeout': { code: 408, phrase: 'Request Timeout' },
  conflict: { code: 409, phrase: 'Conflict' },
  gone: { code: 410, phrase: 'Gone' },
  precondition: { code: 412, phrase: 'Precondition Failed' },
  'too-large': { code: 413, phrase: 'Payload Too Large' },
  'media-type': { code: 415, phrase: 'Unsupported Media Type' },
  unprocessable: { code: 422, phrase: 'Unprocessable Entity' },
  throttled: { code: 429, phrase: 'Too Many Requests' },
  exception: { code: 500, phrase: 'Internal Server Error' },
  transient: { code: 503, phrase: 'Service Unavailable' },
};
