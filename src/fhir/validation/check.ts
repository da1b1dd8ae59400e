import type { ValidateFunction } from 'ajv';
import type { Issue, IssueCode } from '../fault.ts';

/** A step of a FHIRPath: a name or an index. */
export type PathStep = string | number;

/** An invariant that waits until the structure of the whole resource is known to be valid. */
export interface Invariant {
  readonly diagnostics: string;
  readonly severity: Issue['severity'];
  holds(): boolean;
}

/** The element being checked, within its resource. */
export interface Visit {
  readonly resource: Readonly<Record<string, unknown>>;
  /** Reports an issue at the element, or at the path `below` it. */
  report(code: IssueCode, diagnostics: string, below?: readonly PathStep[], severity?: Issue['severity']): void;
  /** Evaluates an invariant of the element later, unless the structure of the resource turns out not to be valid. */
  defer(invariant: Invariant): void;
  /** Checks the element by another definition as well: that of an extension or a contained resource. */
  checkBy(element: Readonly<Record<string, unknown>>, definition: Compiled): void;
}

/** Checks one element, which may have any JSON type, and reports what is wrong. */
export type Check = (value: unknown, visit: Visit) => void;

/** The checks of an element beyond its JSON Schema, and the plans of its children. */
export interface ElementPlan {
  readonly checks: readonly Check[];
  /** Plans by JSON name. Empty for primitives. */
  readonly children: ReadonlyMap<string, ChildPlan>;
}

export interface ChildPlan {
  /** FHIRPath name: a choice without its type, a primitive without `_`. */
  readonly name: string;
  readonly plan: () => ElementPlan;
}

/** The compiled definition of a resource type, profile or extension. */
export interface Compiled {
  /** The resource type, or `Extension`. */
  readonly type: string;
  readonly matchesSchema: ValidateFunction;
  readonly plan: ElementPlan;
}

export function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
