import type { ValidateFunction } from 'ajv';
import type { Issue } from '../fault.ts';
import { type Check, isObject, type PathStep } from './check.ts';
import type { ElementPlan } from './element-plan.ts';
import { readSchemaErrors } from './schema-issue.ts';

/** The definition of a resource type, a profile or an extension, ready to validate by. */
export interface Compiled {
  /** The resource type, or `Extension`. */
  readonly type: string;
  readonly matchesSchema: ValidateFunction;
  readonly plan: ElementPlan;
}

/** What is wrong at a place: FHIRPath names and indexes, from the element that was looked at. */
export interface Finding extends Pick<Issue, 'severity' | 'code' | 'diagnostics'> {
  readonly path: readonly PathStep[];
}

/**
 * All that is wrong with an element, by its JSON Schema and by a walk of its plan.
 * @param resource the resource that it stands in, `%resource` of the invariants: itself, unless it is an extension.
 */
export function collectFindings(
  element: Readonly<Record<string, unknown>>,
  { matchesSchema, plan }: Compiled,
  resource: Readonly<Record<string, unknown>> = element,
): Finding[] {
  const findings: Finding[] = [];
  const told = new Set<string>();
  const add = (
    code: Issue['code'],
    diagnostics: string,
    steps: readonly PathStep[],
    severity: Issue['severity'] = 'error',
  ) => {
    const path = namePath(plan, steps);
    // The definition of an extension says again what R4 says of every extension.
    const key = `${code} ${path.join('.')} ${diagnostics}`;
    if (told.has(key)) return;
    told.add(key);
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
      // Of a primitive that is not even well-formed, its rules have nothing to add.
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

/** JSON names -> FHIRPath. A name that is not of FHIR's form is the client's text: the path stops before it. */
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
