/**
 * The one error type of the server. A fault names a category from a closed table, which decides the FHIR issue code and
 * the log level. It carries data and no headers: src/http renders a response, src/interactions/bundle a response entry.
 */

/** Codes of https://hl7.org/fhir/R4/valueset-issue-type.html that this server uses. */
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

/** One `OperationOutcome.issue`. `diagnostics` is public and never repeats a value that the client sent. */
export interface Issue {
  readonly severity: 'fatal' | 'error' | 'warning' | 'information';
  readonly code: IssueCode;
  readonly diagnostics: string;
  /**
   * Where the fault is: FHIRPath of an element, `http.<header>`, or the name of a query parameter, as R4 defines for
   * `OperationOutcome.issue.expression`.
   */
  readonly expression?: readonly string[];
  /** `OperationOutcome.issue.details.coding`, if a code more exact than the issue code is known. */
  readonly details?: Coding;
  /** Data for programs that is not to be in the text. */
  readonly extension?: readonly IssueExtension[];
}

interface IssueExtension {
  readonly url: string;
  readonly valueIdentifier: { readonly system: string; readonly value: string };
}

interface FaultRule {
  readonly issueCode: IssueCode;
  readonly logLevel: 'info' | 'warn' | 'error';
  /** True if the server failed, false if it refused the request. */
  readonly isServerFailure: boolean;
}

/**
 * Default issue code, log level and responsibility of each category. docs/errors.md has one row for each, which a test
 * enforces.
 */
export const faultCategories = {
  invalid: { issueCode: 'invalid', logLevel: 'info', isServerFailure: false },
  structure: { issueCode: 'structure', logLevel: 'info', isServerFailure: false },
  required: { issueCode: 'required', logLevel: 'info', isServerFailure: false },
  'not-supported': { issueCode: 'not-supported', logLevel: 'info', isServerFailure: false },
  login: { issueCode: 'login', logLevel: 'info', isServerFailure: false },
  forbidden: { issueCode: 'forbidden', logLevel: 'info', isServerFailure: false },
  'not-found': { issueCode: 'not-found', logLevel: 'info', isServerFailure: false },
  method: { issueCode: 'not-supported', logLevel: 'info', isServerFailure: false },
  'not-acceptable': { issueCode: 'not-supported', logLevel: 'info', isServerFailure: false },
  'request-timeout': { issueCode: 'timeout', logLevel: 'info', isServerFailure: false },
  conflict: { issueCode: 'conflict', logLevel: 'info', isServerFailure: false },
  gone: { issueCode: 'deleted', logLevel: 'info', isServerFailure: false },
  precondition: { issueCode: 'conflict', logLevel: 'info', isServerFailure: false },
  'too-large': { issueCode: 'too-long', logLevel: 'info', isServerFailure: false },
  'media-type': { issueCode: 'not-supported', logLevel: 'info', isServerFailure: false },
  unprocessable: { issueCode: 'business-rule', logLevel: 'info', isServerFailure: false },
  throttled: { issueCode: 'throttled', logLevel: 'warn', isServerFailure: false },
  exception: { issueCode: 'exception', logLevel: 'error', isServerFailure: true },
  transient: { issueCode: 'transient', logLevel: 'warn', isServerFailure: true },
} as const satisfies Record<string, FaultRule>;

export type FaultCategory = keyof typeof faultCategories;

/** Facts about a fault that clients and operators act on. */
interface FaultFacts {
  /** Seconds after which the client may repeat the request. */
  readonly retryAfterS?: number | undefined;
  /** The scope that the access token lacks, such as `system/Flag.r`. */
  readonly neededScope?: string | undefined;
  /** True if an access token was sent and is not valid. */
  readonly isTokenInvalid?: boolean | undefined;
  /** For the log only: a short kind, never a value. */
  readonly detail?: string | undefined;
}

export interface FaultOptions extends FaultFacts {
  /** Replaces the category's default issue code. */
  readonly code?: IssueCode;
  readonly expression?: readonly string[];
  readonly details?: Coding;
  readonly cause?: unknown;
}

export class FhirFault extends Error {
  readonly category: FaultCategory;
  readonly issues: readonly Issue[];
  readonly retryAfterS: number | undefined;
  readonly neededScope: string | undefined;
  readonly isTokenInvalid: boolean;
  readonly detail: string | undefined;

  constructor(
    category: FaultCategory,
    issues: readonly Issue[],
    options: FaultFacts & { readonly cause?: unknown } = {},
  ) {
    super(category, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = 'FhirFault';
    this.category = category;
    this.issues = issues;
    this.retryAfterS = options.retryAfterS;
    this.neededScope = options.neededScope;
    this.isTokenInvalid = options.isTokenInvalid ?? false;
    this.detail = options.detail;
  }

  /** True if the server failed, false if it refused the request. */
  get isServerFailure(): boolean {
    return faultCategories[this.category].isServerFailure;
  }

  /** Returns the same fault with other issues, such as those moved under a Bundle entry. */
  withIssues(issues: readonly Issue[]): FhirFault {
    const { category, retryAfterS, neededScope, isTokenInvalid, detail } = this;
    return new FhirFault(category, issues, { retryAfterS, neededScope, isTokenInvalid, detail, cause: this });
  }
}

/** Builds a fault with one issue of severity error; its code is the category's, unless `options.code` replaces it. */
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
