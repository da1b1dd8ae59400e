import type { Issue, IssueCode } from '../fault.ts';

/** A step of a FHIRPath: a name or an index. */
export type PathStep = string | number;

/** The element being checked, within its resource. */
export interface Visit {
  readonly resource: Readonly<Record<string, unknown>>;
  /** Whether the JSON Schema found an error. A check that cannot be evaluated then reports nothing. */
  readonly isMalformed: boolean;
  /** Reports an issue at the element, or at the path `below` it. */
  report(code: IssueCode, diagnostics: string, below?: readonly PathStep[], severity?: Issue['severity']): void;
}

/** Checks one element, which may have any JSON type, and reports what is wrong. */
export type Check = (value: unknown, visit: Visit) => void;

export function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
