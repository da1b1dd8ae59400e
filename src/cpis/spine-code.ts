/**
 * NHS England's Spine-ErrorOrWarningCode, which `OperationOutcome.issue.details` has in addition to the FHIR issue
 * code. The category of the fault decides where the issue code is ambiguous: 412 and 409 are both `conflict`.
 */
import type { Coding, FaultCategory, Issue, IssueCode } from '../fhir/fault.ts';

const system = 'https://fhir.nhs.uk/R4/CodeSystem/Spine-ErrorOrWarningCode';

const displays = {
  ACCESS_DENIED: 'Access has been denied to process this request',
  DUPLICATE_REJECTED: 'Create would lead to creation of a duplicate resource',
  INVALIDATED_RESOURCE:
    'Resource that has been marked as invalid was requested - invalid resources cannot be retrieved',
  INVALID_NHS_NUMBER: 'Invalid NHS number',
  INVALID_REQUEST_MESSAGE: 'Invalid request message',
  INVALID_SEARCH_DATA: 'Search data is invalid',
  INVALID_UPDATE: 'Update is invalid',
  INVALID_VALUE: 'Provided value is invalid',
  MISSING_VALUE: 'Required value is missing',
  PRECONDITION_FAILED: 'Required condition was not fulfilled',
  RESOURCE_NOT_FOUND: 'Resource not found',
  RESOURCE_VERSION_MISMATCH: 'Resource version mismatch',
  SERVER_ERROR: 'Server error',
  SERVICE_UNAVAILABLE: 'Service unavailable',
  TOO_MANY_MATCHES: 'Too Many Matches',
  TOO_MANY_REQUESTS: 'Too many requests',
  UNABLE_TO_CALL_SERVICE: 'Unable to call service',
  UNSUPPORTED_SERVICE: 'Unsupported Service',
  UNSUPPORTED_VALUE: 'Unsupported value',
  VALIDATION_ERROR: 'Validation error',
} as const;

type SpineCode = keyof typeof displays;

/** Undefined if the code system has no code for it: an information is neither an error nor a warning. */
const byIssueCode: Readonly<Record<IssueCode, SpineCode | undefined>> = {
  'business-rule': 'VALIDATION_ERROR',
  'code-invalid': 'INVALID_VALUE',
  conflict: 'INVALID_UPDATE',
  deleted: 'INVALIDATED_RESOURCE',
  duplicate: 'DUPLICATE_REJECTED',
  exception: 'SERVER_ERROR',
  expired: 'ACCESS_DENIED',
  extension: 'VALIDATION_ERROR',
  forbidden: 'ACCESS_DENIED',
  informational: undefined,
  invalid: 'INVALID_VALUE',
  invariant: 'VALIDATION_ERROR',
  login: 'ACCESS_DENIED',
  'multiple-matches': 'TOO_MANY_MATCHES',
  'not-found': 'RESOURCE_NOT_FOUND',
  'not-supported': 'UNSUPPORTED_SERVICE',
  processing: 'VALIDATION_ERROR',
  required: 'MISSING_VALUE',
  structure: 'INVALID_REQUEST_MESSAGE',
  throttled: 'TOO_MANY_REQUESTS',
  timeout: 'UNABLE_TO_CALL_SERVICE',
  'too-costly': 'UNSUPPORTED_SERVICE',
  'too-long': 'INVALID_REQUEST_MESSAGE',
  transient: 'SERVICE_UNAVAILABLE',
  unknown: undefined,
  value: 'INVALID_VALUE',
};

/** Returns a coding of the Spine code system, for `Issue.details`. */
export function spineCoding(code: SpineCode): Coding {
  return { system, version: '1', code, display: displays[code] };
}

/**
 * Returns the function that finds the coding of an issue of this category. Undefined category: issues without a fault,
 * such as warnings.
 */
export function spineCodingFor(category?: FaultCategory): (issue: Issue) => Coding | undefined {
  return (issue) => {
    if (category === 'precondition' && issue.code === 'conflict') return spineCoding('RESOURCE_VERSION_MISMATCH');
    if (category === 'precondition' && issue.code !== 'multiple-matches') return spineCoding('PRECONDITION_FAILED');
    const code = byIssueCode[issue.code];
    return code === undefined ? undefined : spineCoding(code);
  };
}
