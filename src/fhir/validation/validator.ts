import { Ajv } from 'ajv';
import type { Definitions } from '../definitions/definitions.ts';
import { buildTree, type ElementNode } from '../definitions/element-tree.ts';
import type { Profiles } from '../definitions/load-profiles.ts';
import type { Issue } from '../fault.ts';
import { findExcess } from './bounds.ts';
import { type Check, isObject, type PathStep } from './check.ts';
import { codedCheck } from './coded-check.ts';
import { type Compiled, collectFindings } from './collect-findings.ts';
import { containedCheck } from './contained-check.ts';
import { createPlanner } from './element-plan.ts';
import { extensionCheck } from './extension-check.ts';
import { invariantCheck } from './invariant-check.ts';
import { buildJsonSchema, type SchemaSources, schemaIdOf } from './json-schema.ts';
import { memberChecks } from './member-checks.ts';
import { patternCheck } from './pattern-check.ts';
import { primitiveFormats } from './primitive-formats.ts';
import { referenceCheck } from './reference-check.ts';

export interface Validator {
  /**
   * Returns all issues of a resource, each with its FHIRPath; empty if it is valid. Checks the resources in a Bundle
   * only for a resourceType. Validates contained resources whose R4 definition this server has.
   * @param profileUrlOrType canonical URL of a loaded profile, or the name of an R4 resource type.
   * @throws Error if the profile or type is unknown.
   */
  validate(resource: unknown, profileUrlOrType: string): Issue[];
}

const maxIssues = 100;

/** Builds a validator. Each profile or type is compiled when first used. */
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
      checks.push(extensionCheck(compiledExtension, type?.profiles, node.name === 'modifierExtension'));
    }
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

function collectIssues(resource: unknown, compiled: Compiled): Issue[] {
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
  const issues = collectFindings(resource, compiled).map(({ path, ...issue }): Issue => {
    return { ...issue, expression: [renderPath(type, path)] };
  });
  if (issues.length <= maxIssues) return issues;
  const more = refuse(
    'too-costly',
    `The resource has more issues than these ${maxIssues}. Correct them and validate again.`,
  );
  return [...issues.slice(0, maxIssues), ...more];
}

function renderPath(type: string, path: readonly PathStep[]): string {
  return type + path.map((step) => (typeof step === 'number' ? `[${step}]` : `.${step}`)).join('');
}
