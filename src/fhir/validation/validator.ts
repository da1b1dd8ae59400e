import fhirpath from 'fhirpath';
import type { Definitions } from '../definitions/definitions.ts';
import { buildTree, type ElementNode } from '../definitions/element-tree.ts';
import type { Profiles } from '../definitions/load-profiles.ts';
import type { Issue } from '../fault.ts';
import { finishSteps, type Steps } from '../steps.ts';
import { findExcess } from './bounds.ts';
import { type Check, type Compiled, isObject, type PathStep } from './check.ts';
import { codedCheck } from './coded-check.ts';
import { collectFindings, type Finding, maxIssues } from './collect-findings.ts';
import { buildCompiler } from './compile-schema.ts';
import { containedCheck } from './contained-check.ts';
import { createPlanner } from './element-plan.ts';
import { extensionCheck } from './extension-check.ts';
import { invariantCheck } from './invariant-check.ts';
import { memberChecks } from './member-checks.ts';
import { patternCheck } from './pattern-check.ts';
import { buildR4Invariants, decideDistinct } from './r4-invariants.ts';
import { referenceCheck } from './reference-check.ts';

export interface Validator {
  /**
   * Returns all issues of a resource, each with its FHIRPath; empty if it is valid. Checks the resources in a Bundle
   * only for a resourceType. Validates contained resources whose R4 definition this server has. Evaluates invariants
   * only once the structure is valid, and a limited number of them.
   * @param profileUrlOrType canonical URL of a loaded profile, or the name of an R4 resource type.
   * @throws Error if the profile or type is unknown.
   */
  validate(resource: unknown, profileUrlOrType: string): Issue[];
  /** Does the same in steps, for a Bundle with any number of entries. */
  validateInSteps(resource: unknown, profileUrlOrType: string): Steps<Issue[]>;
  /** Compiles a profile or type, with everything that it needs. */
  prepare(profileUrlOrType: string): Steps<void>;
}

/** Maximum FHIRPath invariants of one resource: a Patient with all that people have needs fewer than 100. */
const maxInvariants = 200;

/** Builds a validator. Each profile or type is compiled when first used. */
export function buildValidator(sources: { definitions: Definitions; profiles: Profiles }): Validator {
  const { definitions, profiles } = sources;
  const expansionOf = (url: string) => profiles.valueSets.get(url) ?? definitions.valueSets.get(url);
  const schemas = buildCompiler(definitions, expansionOf);
  const decisions = buildR4Invariants(definitions);

  const planOf = createPlanner({
    definitions,
    memberChecksOf: (node) => memberChecks(node, definitions),
    checksOf: (node, typeCode) => elementChecks(node, typeCode),
  });
  const compiledExtension = (url: string) =>
    profiles.profiles.get(url)?.type === 'Extension' ? compile(url) : undefined;
  const compiledResource = (type: string) =>
    definitions.types.get(type)?.kind === 'resource' ? compile(type) : undefined;
  function elementChecks(node: ElementNode, typeCode: string): readonly Check[] {
    const checks: (Check | undefined)[] = [];
    const expansion = node.valueSet === undefined ? undefined : expansionOf(node.valueSet);
    if (node.valueSet !== undefined && expansion !== undefined) {
      checks.push(codedCheck(typeCode, node.valueSet, expansion));
    }
    const type = node.types.find(({ code }) => code === typeCode);
    if (type?.targets !== undefined) checks.push(referenceCheck(type.targets));
    if (node.name === 'contained') checks.push(containedCheck(compiledResource));
    if (typeCode === 'Extension' && node.path !== 'Extension') {
      checks.push(
        extensionCheck(
          compiledExtension,
          () => compile('Extension'),
          type?.profiles,
          node.name === 'modifierExtension',
        ),
      );
    }
    if (typeof node.fixed === 'object') checks.push(patternCheck(node.fixed, true));
    if (typeof node.pattern === 'object') checks.push(patternCheck(node.pattern, false));
    for (const constraint of node.constraints) {
      checks.push(
        invariantCheck(node.path, constraint, decisions.get(constraint.key) ?? decideDistinct(constraint.expression)),
      );
    }
    return checks.filter((check) => check !== undefined);
  }

  const compiled = new Map<string, Compiled>();
  function compile(name: string): Compiled {
    const known = compiled.get(name);
    if (known !== undefined) return known;
    const tree = profiles.profiles.get(name)?.tree ?? buildTree(definitions, name);
    const isDataType = definitions.types.get(name)?.kind === 'complex-type';
    const matchesSchema = isDataType
      ? schemas.compileType(name)
      : schemas.compile(tree, profiles.profiles.has(name) ? name : undefined);
    const made = { type: tree.name, matchesSchema, plan: planOf(tree) };
    compiled.set(name, made);
    return made;
  }

  function* validateInSteps(resource: unknown, name: string): Steps<Issue[]> {
    const checked = checkStructure(resource, compile(name));
    if (Array.isArray(checked)) return checked;
    for (const invariant of checked.invariants.slice(0, checked.max)) {
      yield;
      checked.evaluate(invariant);
    }
    return checked.issues();
  }

  return {
    validate: (resource, name) => finishSteps(validateInSteps(resource, name)),
    validateInSteps,
    *prepare(name) {
      // Starts the parser of FHIRPath.
      fhirpath.parse('true');
      for (const type of schemas.types) {
        yield;
        schemas.compileType(type);
      }
      const extensions = [...profiles.profiles].filter(([, { type }]) => type === 'Extension').map(([url]) => url);
      const contained = [...definitions.types].filter(([, { kind }]) => kind === 'resource').map(([type]) => type);
      for (const each of [...extensions, ...contained, name]) {
        yield;
        compile(each);
      }
    },
  };
}

function checkStructure(resource: unknown, compiled: Compiled) {
  const { type } = compiled;
  const refuse = (code: Issue['code'], diagnostics: string, path = type): Issue[] => [
    { severity: 'error', code, diagnostics, expression: [path] },
  ];
  if (!isObject(resource)) return refuse('structure', 'The resource must be a JSON object.');
  if (resource['resourceType'] !== type) {
    const code = resource['resourceType'] === undefined ? 'required' : 'structure';
    return refuse(code, `The resourceType must be ${type}.`, `${type}.resourceType`);
  }
  const excess = findExcess(resource);
  if (excess !== undefined) return [{ ...excess, expression: [type] }];
  const { findings, invariants } = collectFindings(resource, compiled);
  // The entries of a Bundle are limited by their number.
  const max = type === 'Bundle' ? invariants.length : maxInvariants;
  return {
    invariants,
    max,
    evaluate({ diagnostics, severity, path, holds }: (typeof invariants)[number]): void {
      const isKnown = (finding: Finding) =>
        finding.diagnostics === diagnostics && String(finding.path) === String(path);
      if (!holds() && !findings.some(isKnown)) findings.push({ code: 'invariant', diagnostics, severity, path });
    },
    issues(): Issue[] {
      const issues = findings.map(({ path, ...issue }): Issue => ({ ...issue, expression: [renderPath(type, path)] }));
      const end =
        invariants.length > max
          ? refuse('too-costly', `The resource has more than ${maxInvariants} elements with rules.`)
          : [];
      if (issues.length <= maxIssues) return [...issues, ...end];
      const more = `The resource has more issues than these ${maxIssues}. Correct them and validate again.`;
      return [...issues.slice(0, maxIssues), ...refuse('too-costly', more)];
    },
  };
}

function renderPath(type: string, path: readonly PathStep[]): string {
  return type + path.map((step) => (typeof step === 'number' ? `[${step}]` : `.${step}`)).join('');
}
