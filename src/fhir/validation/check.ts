import type { Issue, IssueCode } from '../fault.ts';

/** Steps of a FHIRPath from an element: names and indexes. */
export type PathStep = string | number;

/** The element that is being checked, within its resource. */
export interface Visit {
  readonly resource: Readonly<Record<string, unknown>>;
  /** The JSON Schema was not met somewhere: a check that can't be decided says nothing. */
  readonly isMalformed: boolean;
  /** Adds an issue at the element, or `below` it. */
  report(code: IssueCode, diagnostics: string, below?: readonly PathStep[], severity?: Issue['severity']): void;
}

/** Looks at one element as it stands in the JSON, of whatever JSON type, and reports what is wrong with it. */
export type Check = (value: unknown, visit: Visit) => void;

export function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
