/** Turns any error thrown while a request is answered into a FhirFault. */
import { type FaultCategory, FhirFault, fault } from '../fhir/fault.ts';

const byCode: Readonly<Record<string, readonly [FaultCategory, string, ...expression: string[]]>> = {
  FST_ERR_BAD_URL: ['invalid', 'The path is not valid percent-encoded UTF-8.'],
  FST_ERR_MAX_PARAM_LENGTH: ['invalid', 'A segment of the path is too long.'],
  FST_ERR_CTP_BODY_TOO_LARGE: ['too-large', 'The body is larger than this server accepts. Send it in smaller parts.'],
  FST_ERR_CTP_EMPTY_JSON_BODY: ['structure', 'The body is empty.'],
  FST_ERR_CTP_INVALID_CONTENT_LENGTH: ['invalid', 'The length of the body differs from Content-Length.'],
  FST_ERR_CTP_INVALID_MEDIA_TYPE: [
    'media-type',
    'This request does not accept a body of this Content-Type.',
    'http.content-type',
  ],
  ECONNRESET: ['invalid', 'The connection ended before the body was complete. Send the request again.'],
};

/**
 * Returns a fault as it is, and a known framework error by its code. Any other error becomes `exception` and discloses
 * nothing.
 */
export function toFault(error: unknown): FhirFault {
  if (error instanceof FhirFault) return error;
  const code = error instanceof Error && 'code' in error ? String(error.code) : '';
  const known = byCode[code];
  if (known !== undefined) {
    const [category, diagnostics, ...expression] = known;
    return fault(category, diagnostics, {
      detail: code,
      cause: error,
      ...(expression.length > 0 ? { expression } : {}),
    });
  }
  return fault('exception', 'The server failed. Report the X-Request-ID of this response to its operator.', {
    detail: error instanceof Error ? error.name : typeof error,
    cause: error,
  });
}
