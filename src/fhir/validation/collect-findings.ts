import type { Issue } from '../fault.ts';
import { type Compiled, type ElementPlan, type Invariant, isObject, type PathStep, type Visit } from './check.ts';
import { readSchemaErrors } from './schema-issue.ts';

/** Maximum issues of a resource that are described. One more shows that there are more. */
export const maxIssues = 100;

/** An issue with its place: FHIRPath names and indexes, from the resource. */
export interface Finding extends Pick<Issue, 'severity' | 'code' | 'diagnostics'> {
  readonly path: readonly PathStep[];
}

/** What the checks of a resource's structure found. */
export interface Findings {
  readonly findings: Finding[];
  /** The invariants that remain to be evaluated; none if the structure is not valid. */
  readonly invariants: readonly PlacedInvariant[];
}

interface PlacedInvariant extends Invariant {
  readonly path: readonly PathStep[];
}

/**
 * Checks a resource by its JSON Schema and by the checks of its plan. Invariants are expensive and assume a valid
 * structure, so they are only gathered.
 */
export function collectFindings(resource: Readonly<Record<string, unknown>>, compiled: Compiled): Findings {
  const findings: Finding[] = [];
  const invariants: PlacedInvariant[] = [];
  const seen = new Set<string>();
  let isMalformed = false;

  const add = (
    code: Issue['code'],
    diagnostics: string,
    path: readonly PathStep[],
    severity: Issue['severity'] = 'error',
  ): void => {
    // The definition of an extension repeats the rules that R4 has for every extension.
    const key = `${code} ${path.join('.')} ${diagnostics}`;
    if (seen.has(key)) return;
    seen.add(key);
    findings.push({ severity, code, diagnostics, path });
  };

  function check(
    element: Readonly<Record<string, unknown>>,
    { matchesSchema, plan }: Compiled,
    place: (path: PathStep[]) => PathStep[],
  ): void {
    const pathTo = (below: readonly PathStep[]): PathStep[] => place(namePath(plan, [...steps, ...below]));
    const steps: PathStep[] = [];
    let isCovered = false;
    if (!matchesSchema(element)) isMalformed = true;
    for (const error of readSchemaErrors(matchesSchema.errors ?? [], maxIssues + 1)) {
      add(error.code, error.diagnostics, pathTo(error.steps));
    }
    const visit: Visit = {
      resource,
      report(code, diagnostics, below = [], severity = 'error') {
        if (findings.length <= maxIssues) add(code, diagnostics, pathTo(below), severity);
      },
      defer: (invariant) => {
        if (!isMalformed) invariants.push({ ...invariant, path: pathTo([]) });
      },
      checkBy(inner, definition) {
        isCovered = true;
        check(inner, definition, pathTo);
      },
    };
    const walk = (value: unknown, { checks, children }: ElementPlan): void => {
      isCovered = false;
      for (const run of checks) run(value, visit);
      // The other definition has covered what is below. Nested extensions would otherwise double the work at each level.
      if (isCovered || !isObject(value) || children.size === 0) return;
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
  }

  check(resource, compiled, (path) => path);
  return { findings, invariants: isMalformed ? [] : invariants };
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
