/**
 * The one error type of the server. A fault names a category from a closed table; the table alone decides the HTTP
 * status, the FHIR issue code and the level it is logged at. Rendering happens in two places only: the HTTP reply and
 * `Bundle.entry.response`.
 */

/** https://hl7.org/fhir/R4/valueset-issue-type.html, the codes that this server uses. */
export type IssueCode =
  | 'business-rule'
  | 'code-invalid'
  | 'conflict'
  | 'deleted'
  | 'duplicate'
  | 'exception'
  | 'expired'
  | 'extension'
  | 'forbidden'
  | 'informational'
  | 'invalid'
  | 'invariant'
  | 'login'
  | 'multiple-matches'
  | 'not-found'
  | 'not-supported'
  | 'processing'
  | 'required'
  | 'structure'
  | 'throttled'
  | 'timeout'
  | 'too-costly'
  | 'too-long'
  | 'transient'
  | 'unknown'
  | 'value';

export interface Coding {
  readonly system: string;
  readonly version?: string;
  readonly code: string;
  readonly display?: string;
}

/** One OperationOutcome.issue. `diagnostics` is public: it never repeats a value that the client sent. */
export interface Issue {
  readonly severity: 'fatal' | 'error' | 'warning' | 'information';
  readonly code: IssueCode;
  readonly diagnostics: string;
  /** FHIRPath of the element or `http.<header>` / query parameter name, as R4 asks of OperationOutcome.issue.expression. */
  readonly expression?: readonly string[];
  /** OperationOutcome.issue.details.coding, where something more exact than the code is known. */
  readonly details?: Coding;
}

interface FaultRule {
  readonly status: number;
  readonly issueCode: IssueCode;
  readonly logLevel: 'info' | 'warn' | 'error';
}

/** Category -> HTTP status, default issue code, log level. Documented row by row in docs/errors.md; a test holds both. */
export const faultCategories = {
  invalid: { status: 400, issueCode: 'invalid', logLevel: 'info' },
  structure: { status: 400, issueCode: 'structure', logLevel: 'info' },
  required: { status: 400, issueCode: 'required', logLevel: 'info' },
  'not-supported': { status: 400, issueCode: 'not-supported', logLevel: 'info' },
  login: { status: 401, issueCode: 'login', logLevel: 'info' },
  forbidden: { status: 403, issueCode: 'forbidden', logLevel: 'info' },
  'not-found': { status: 404, issueCode: 'not-found', logLevel: 'info' },
  method: { status: 405, issueCode: 'not-supported', logLevel: 'info' },
  'not-acceptable': { status: 406, issueCode: 'not-supported', logLevel: 'info' },
  'request-timeout': { status: 408, issueCode: 'timeout', logLevel: 'info' },
  conflict: { status: 409, issueCode: 'conflict', logLevel: 'info' },
  gone: { status: 410, issueCode: 'deleted', logLevel: 'info' },
  precondition: { status: 412, issueCode: 'conflict', logLevel: 'info' },
  'too-large': { status: 413, issueCode: 'too-long', logLevel: 'info' },
  'media-type': { status: 415, issueCode: 'not-supported', logLevel: 'info' },
  unprocessable: { status: 422, issueCode: 'business-rule', logLevel: 'info' },
  throttled: { status: 429, issueCode: 'throttled', logLevel: 'warn' },
  exception: { status: 500, issueCode: 'exception', logLevel: 'error' },
  transient: { status: 503, issueCode: 'transient', logLevel: 'warn' },
} as const satisfies Record<string, FaultRule>;

export type FaultCategory = keyof typeof faultCategories;

export interface FaultOptions {
  /** Replaces the category's default issue code. */
  readonly code?: IssueCode;
  readonly expression?: readonly string[];
  readonly details?: Coding;
  /** Response headers that belong to the fault (`Retry-After`, `WWW-Authenticate`, `Allow`). */
  readonly headers?: Readonly<Record<string, string>>;
  /** For the log only: a short kind, never a value. */
  readonly detail?: string;
  readonly cause?: unknown;
}

export class FhirFault extends Error {
  readonly category: FaultCategory;
  readonly issues: readonly Issue[];
  readonly headers: Readonly<Record<string, string>>;
  readonly detail: string | undefined;

  constructor(category: FaultCategory, issues: readonly Issue[], options: FaultOptions = {}) {
    super(category, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = 'FhirFault';
    this.category = category;
    this.issues = issues;
    this.headers = options.headers ?? {};
    this.detail = options.detail;
  }

  get status(): number {
    return faultCategories[this.category].status;
  }
}

/** A fault of one issue with severity error and the category's issue code. */
export function fault(category: FaultCategory, diagnostics: string, options: FaultOptions = {}): FhirFault {
  const issue: Issue = {
    severity: 'error',
    code: options.code ?? faultCategories[category].issueCode,
    diagnostics,
    ...(options.expression === undefined ? {} : { expression: options.expression }),
    ...(options.details === undefined ? {} : { details: options.details }),
  };
  return new FhirFault(category, [issue], options);
}
