import { Ajv, type ValidateFunction } from 'ajv';
import type { Definitions } from '../definitions/definitions.ts';
import { buildTree, type ElementNode } from '../definitions/element-tree.ts';
import type { Profiles } from '../definitions/load-profiles.ts';
import type { Issue } from '../fault.ts';
import { findExcess } from './bounds.ts';
import { type Check, isObject, type PathStep } from './check.ts';
import { codedCheck } from './coded-check.ts';
import { createPlanner, type ElementPlan } from './element-plan.ts';
import { invariantCheck } from './invariant-check.ts';
import { buildJsonSchema, type SchemaSources, schemaIdOf } from './json-schema.ts';
import { memberChecks } from './member-checks.ts';
import { patternCheck } from './pattern-check.ts';
import { primitiveFormats } from './primitive-formats.ts';
import { referenceCheck } from './reference-check.ts';
import { readSchemaErrors } from './schema-issue.ts';

export interface Validator {
  /**
   * All that is wrong with a resource, each with its FHIRPath; empty when it is valid. Contained resources and those in a
   * Bundle are looked at as objects with a resourceType only.
   * @param profileUrlOrType canonical URL of a loaded profile, or the name of an R4 resource type.
   * @throws Error when there is no such profile or type.
   */
  validate(resource: unknown, profileUrlOrType: string): Issue[];
}

interface Compiled {
  readonly type: string;
  readonly matchesSchema: ValidateFunction;
  readonly plan: ElementPlan;
}

const maxIssues = 100;

/** Compiles nothing yet: each profile or type is compiled when it is first asked for, and kept. */
export function buildValidator(sources: { definitions: Definitions; profiles: Profiles }): Validator {
  const { definitions, profiles } = sources;
  const expansionOf = (url: string) => profiles.valueSets.get(url) ?? definitions.valueSets.get(url);
  const schemaSources: SchemaSources = {
    definitions,
    codesOf(url) {
      const expansion = expansionOf(url);
      return expansion && [...expansion.values()].flatMap((codes) => [...codes.keys()]);
    },
  };
  const ajv = new Ajv({ allErrors: true, verbose: true, strict: false, validateSchema: false, ownProperties: true });
  for (const [name, test] of primitiveFormats(definitions)) ajv.addFormat(`fhir-${name}`, test);

  const planOf = createPlanner({
    definitions,
    memberChecksOf: (node) => memberChecks(node, definitions),
    checksOf: (node, typeCode) => elementChecks(node, typeCode),
  });
  function elementChecks(node: ElementNode, typeCode: string): readonly Check[] {
    const checks: (Check | undefined)[] = [];
    const expansion = node.valueSet === undefined ? undefined : expansionOf(node.valueSet);
    if (node.valueSet !== undefined && expansion !== undefined) {
      checks.push(codedCheck(typeCode, node.valueSet, expansion));
    }
    const targets = node.types.find(({ code }) => code === typeCode)?.targets;
    if (targets !== undefined) checks.push(referenceCheck(targets));
    if (typeof node.fixed === 'object') checks.push(patternCheck(node.fixed, true));
    if (typeof node.pattern === 'object') checks.push(patternCheck(node.pattern, false));
    for (const constraint of node.constraints) checks.push(invariantCheck(node.path, constraint));
    return checks.filter((check) => check !== undefined);
  }

  const compiled = new Map<string, Compiled>();
  function compile(name: string): Compiled {
    const known = compiled.get(name);
    if (known !== undefined) return known;
    if (compiled.size === 0) {
      for (const [type, { kind }] of definitions.types) {
        if (kind === 'resource') continue;
        ajv.addSchema(Object(buildJsonSchema(schemaSources, buildTree(definitions, type), schemaIdOf(type))));
      }
    }
    const tree = profiles.profiles.get(name)?.tree ?? buildTree(definitions, name);
    const id = profiles.profiles.has(name) ? name : schemaIdOf(name);
    const matchesSchema = ajv.compile(Object(buildJsonSchema(schemaSources, tree, id)));
    const made = { type: tree.name, matchesSchema, plan: planOf(tree) };
    compiled.set(name, made);
    return made;
  }

  return {
    validate(resource, profileUrlOrType) {
      return collectIssues(resource, compile(profileUrlOrType));
    },
  };
}

function collectIssues(resource: unknown, { type, matchesSchema, plan }: Compiled): Issue[] {
  const issues: Issue[] = [];
  const add = (
    code: Issue['code'],
    diagnostics: string,
    steps: readonly PathStep[],
    severity: Issue['severity'] = 'error',
  ) => {
    issues.push({ severity, code, diagnostics, expression: [renderPath(type, plan, steps)] });
  };
  if (!isObject(resource)) {
    add('structure', 'The resource must be a JSON object.', []);
    return issues;
  }
  if (resource['resourceType'] !== type) {
    const isMissing = resource['resourceType'] === undefined;
    add(isMissing ? 'required' : 'structure', `The resourceType must be ${type}.`, ['resourceType']);
    return issues;
  }
  const excess = findExcess(resource);
  if (excess !== undefined) return [{ ...excess, expression: [type] }];

  const isMalformed = !matchesSchema(resource);
  for (const { code, diagnostics, steps } of readSchemaErrors(matchesSchema.errors ?? []))
    add(code, diagnostics, steps);
  const steps: PathStep[] = [];
  const visit: Parameters<Check>[1] = {
    resource,
    isMalformed,
    report: (code, diagnostics, below = [], severity = 'error') =>
      add(code, diagnostics, [...steps, ...below], severity),
  };
  const walk = (value: unknown, { checks, children }: ElementPlan): void => {
    if (!isObject(value)) {
      // Of a primitive that is not even well-formed, its rules have nothing to add.
      const path = isMalformed ? renderPath(type, plan, steps) : undefined;
      if (path !== undefined && issues.some(({ expression }) => expression?.[0] === path)) return;
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
  walk(resource, plan);
  return issues.length <= maxIssues ? issues : [...issues.slice(0, maxIssues), moreIssues(type)];
}

function moreIssues(type: string): Issue {
  const diagnostics = `There are more issues than the ${maxIssues} that are listed.`;
  return { severity: 'error', code: 'too-costly', diagnostics, expression: [type] };
}

/** JSON names -> FHIRPath. A name that is not of FHIR's form is the client's text: the path stops before it. */
function renderPath(type: string, plan: ElementPlan, steps: readonly PathStep[]): string {
  let path = type;
  let at: ElementPlan | undefined = plan;
  for (const step of steps) {
    if (typeof step === 'number') {
      path += `[${step}]`;
      continue;
    }
    const child: { name: string; plan: () => ElementPlan } | undefined = at?.children.get(step);
    if (child === undefined && !/^_?[A-Za-z][A-Za-z0-9]{0,63}$/.test(step)) return path;
    path += `.${child?.name ?? step}`;
    at = child?.plan();
  }
  return path;
}
