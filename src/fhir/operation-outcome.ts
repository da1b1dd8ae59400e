/** https://hl7.org/fhir/R4/operationoutcome.html */
import type { Coding, Issue } from './fault.ts';

/** Finds the coding that `issue.details` gets in addition to the one that the issue may already have. */
type IssueCoding = (issue: Issue) => Coding | undefined;

interface OperationOutcomeIssue {
  readonly extension?: Issue['extension'];
  readonly severity: Issue['severity'];
  readonly code: Issue['code'];
  readonly details?: { readonly coding: readonly Coding[] };
  readonly diagnostics: string;
  readonly expression?: readonly string[];
}

export interface OperationOutcome {
  readonly resourceType: 'OperationOutcome';
  readonly issue: readonly OperationOutcomeIssue[];
}

/** Builds the OperationOutcome of one or more issues, in their order. */
export function buildOperationOutcome(issues: readonly Issue[], codingFor?: IssueCoding): OperationOutcome {
  return { resourceType: 'OperationOutcome', issue: issues.map((issue) => buildIssue(issue, codingFor)) };
}

/** Renders the OperationOutcome of one or more issues as JSON text. */
export function renderOperationOutcome(issues: readonly Issue[], codingFor?: IssueCoding): string {
  return JSON.stringify(buildOperationOutcome(issues, codingFor));
}

function buildIssue(issue: Issue, codingFor: IssueCoding | undefined): OperationOutcomeIssue {
  const found = codingFor?.(issue);
  const coding = [issue.details, found?.system === issue.details?.system ? undefined : found].filter(
    (entry) => entry !== undefined,
  );
  return {
    ...(issue.extension === undefined ? {} : { extension: issue.extension }),
    severity: issue.severity,
    code: issue.code,
    ...(coding.length === 0 ? {} : { details: { coding } }),
    diagnostics: issue.diagnostics,
    ...(issue.expression === undefined ? {} : { expression: issue.expression }),
  };
}
