import type { ValidateFunction } from 'ajv';
import type { Issue } from '../fault.ts';
import { type Check, isObject, type PathStep } from './check.ts';
import type { ElementPlan } from './element-plan.ts';
import { readSchemaErrors } from './schema-issue.ts';

/** The compiled definition of a resource type, profile or extension. */
export interface Compiled {
  /** The resource type, or `Extension`. */
  readonly type: string;
  readonly matchesSchema: ValidateFunction;
  readonly plan: ElementPlan;
}

/** An issue with its place: FHIRPath names and indexes, from the checked element. */
export interface Finding extends Pick<Issue, 'severity' | 'code' | 'diagnostics'> {
  readonly path: readonly PathStep[];
}

/**
 * Returns all issues of an element, from its JSON Schema and from the checks of its plan.
 * @param resource `%resource` in invariants: the element itself, unless it is an extension or contained.
 */
export function collectFindings(
  element: Readonly<Record<string, unknown>>,
  { matchesSchema, plan }: Compiled,
  resource: Readonly<Record<string, unknown>> = element,
): Finding[] {
  const findings: Finding[] = [];
  const seen = new Set<string>();
  const add = (
    code: Issue['code'],
    diagnostics: string,
    steps: readonly PathStep[],
    severity: Issue['severity'] = 'error',
  ) => {
    const path = namePath(plan, steps);
    // The definition of an extension repeats the rules that R4 has for every extension.
    const key = `${code} ${path.join('.')} ${diagnostics}`;
    if (seen.has(key)) return;
    seen.add(key);
    findings.push({ severity, code, diagnostics, path });
  };
  const isMalformed = !matchesSchema(element);
  for (const { code, diagnostics, steps } of readSchemaErrors(matchesSchema.errors ?? [])) {
    add(code, diagnostics, steps);
  }
  const steps: PathStep[] = [];
  const visit: Parameters<Check>[1] = {
    resource,
    isMalformed,
    report: (code, diagnostics, below = [], severity = 'error') =>
      add(code, diagnostics, [...steps, ...below], severity),
  };
  const walk = (value: unknown, { checks, children }: ElementPlan): void => {
    if (isMalformed && !isObject(value)) {
      // The invariants of a malformed primitive would only repeat that it is malformed.
      const at = String(namePath(plan, steps));
      if (findings.some(({ path }) => String(path) === at)) return;
    }
    for (const check of checks) check(value, visit);
    if (!isObject(value) || children.size === 0) return;
    for (const key of Object.keys(value)) {
      const child = children.get(key);
      if (child === undefined) continue;
      steps.push(key);
      const member = value[key];
      if (Array.isArray(member)) {
        for (const [index, item] of member.entries()) {
          steps.push(index);
          if (item !== null) walk(item, child.plan());
          steps.pop();
        }
      } else walk(member, child.plan());
      steps.pop();
    }
  };
  walk(element, plan);
  return findings;
}

/**
 * Converts JSON names to FHIRPath. Stops before a name that is not a FHIR name, because it is free text of the client.
 */
function namePath(plan: ElementPlan, steps: readonly PathStep[]): PathStep[] {
  const path: PathStep[] = [];
  let at: ElementPlan | undefined = plan;
  for (const step of steps) {
    if (typeof step === 'number') {
      path.push(step);
      continue;
    }
    const child: { name: string; plan: () => ElementPlan } | undefined = at?.children.get(step);
    if (child === undefined && !/^_?[A-Za-z][A-Za-z0-9]{0,63}$/.test(step)) return path;
    path.push(child?.name ?? step);
    at = child?.plan();
  }
  return path;
}
