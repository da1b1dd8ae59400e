import fhirpath from 'fhirpath';
import type { Constraint, Definitions, ElementType } from './definitions.ts';
import { buildTree, type ElementNode, expandChildren } from './element-tree.ts';
import type { DifferentialElement, StructureDefinition } from './structure-definition.ts';

const structureRoot = 'http://hl7.org/fhir/StructureDefinition/';
const regexExtension = `${structureRoot}regex`;
/**
 * Keys of ElementDefinition that are enforced or purely descriptive. Any other key is refused, so that no rule is
 * silently ignored.
 */
const knownKeys = new Set(
  'id path short definition comment requirements alias min max type binding constraint maxLength extension mustSupport isSummary'.split(
    ' ',
  ),
);

export interface ProfileSources {
  readonly definitions: Definitions;
  /** Canonical URL of a profile -> its type, for `targetProfile`. */
  readonly profileTypes: ReadonlyMap<string, string>;
  hasValueSet(url: string): boolean;
}

/**
 * Narrows the R4 base of a profile by its differential.
 * @throws Error that names the path, if the differential contradicts the base, has an unknown path, or has a rule that
 *   the validator does not enforce (slices, `type.profile` of anything but an extension).
 */
export function applyProfile(structure: StructureDefinition, sources: ProfileSources): ElementNode {
  const { definitions } = sources;
  if (structure.derivation !== 'constraint' || structure.baseDefinition !== structureRoot + structure.type) {
    throw new Error('derivation must be "constraint" and baseDefinition must be the R4 definition of the type');
  }
  const root = buildTree(definitions, structure.type);
  for (const element of structure.differential.element) {
    const node = nodeAt(root, element.path, definitions);
    try {
      narrow(node, element, sources);
    } catch (cause) {
      throw new Error(`${element.path}: ${(cause as Error).message}`, { cause });
    }
  }
  return root;
}

function nodeAt(root: ElementNode, path: string, definitions: Definitions): ElementNode {
  const [type, ...names] = path.split('.');
  if (type !== root.name) throw new Error(`${path}: the path must start with ${root.name}`);
  let node = root;
  for (const name of names) {
    if (node.max === 0) throw new Error(`${path}: the parent element is prohibited`);
    const child = expandChildren(definitions, root, node)?.get(name.replace('[x]', ''));
    if (child === undefined) throw new Error(`${path}: R4 has no such element`);
    node = child;
  }
  return node;
}

function narrow(node: ElementNode, element: DifferentialElement, sources: ProfileSources): void {
  for (const key of Object.keys(element)) {
    const [, kind, typeName] = /^(fixed|pattern)([A-Z].*)$/.exec(key) ?? [];
    if (kind === undefined && !knownKeys.has(key)) throw new Error(`"${key}" is not supported`);
    if (kind === undefined || typeName === undefined) continue;
    if (!node.types.some(({ code }) => code.toLowerCase() === typeName.toLowerCase())) {
      throw new Error(`the base does not allow the type of ${key}`);
    }
    if (kind === 'fixed') node.fixed = element[key];
    else node.pattern = element[key];
  }
  const min = element.min ?? node.min;
  const max =
    element.max === undefined ? node.max : element.max === '*' ? Number.POSITIVE_INFINITY : Number(element.max);
  if (!Number.isInteger(min) || Number.isNaN(max)) throw new Error('min and max must be numbers, or max "*"');
  if (min < node.min || max > node.max) throw new Error('the cardinality is wider than that of the base');
  if (min > max) throw new Error('min is greater than max');
  node.min = min;
  node.max = max;
  if (element.type !== undefined) node.types = element.type.map((type) => narrowType(node, type, sources));
  if (element.maxLength !== undefined) node.maxLength = element.maxLength;
  for (const { url, valueString } of element.extension ?? []) {
    if (url !== regexExtension || valueString === undefined) throw new Error('only the regex extension is supported');
    new RegExp(valueString, 'u');
    node.regex = valueString;
  }
  if (element.binding !== undefined) narrowBinding(node, element.binding, sources);
  node.constraints = [...node.constraints, ...(element.constraint ?? []).map(parseConstraint)];
}

function narrowType(
  node: ElementNode,
  type: { code: string; targetProfile?: readonly string[]; profile?: readonly string[] },
  sources: ProfileSources,
): ElementType {
  for (const key of Object.keys(type)) {
    const isKnown = key === 'code' || key === 'targetProfile' || (key === 'profile' && type.code === 'Extension');
    if (!isKnown) throw new Error(`"type.${key}" is not supported`);
  }
  const base = node.types.find((candidate) => candidate.code === type.code);
  if (base === undefined) throw new Error(`the base does not allow the type ${type.code}`);
  if (type.profile !== undefined) {
    const unknown = type.profile.find((url) => sources.profileTypes.get(url) !== 'Extension');
    if (unknown !== undefined) throw new Error('type.profile names an extension without a definition');
    return { code: type.code, profiles: type.profile };
  }
  if (type.targetProfile === undefined) return base;
  const targets = type.targetProfile.map((url) => {
    const target = sources.profileTypes.get(url) ?? url.slice(structureRoot.length);
    if (!url.startsWith(structureRoot) && !sources.profileTypes.has(url)) throw new Error('targetProfile is unknown');
    if (base.targets !== undefined && !base.targets.includes(target)) {
      throw new Error(`the base does not allow a reference to ${target}`);
    }
    return target;
  });
  return { code: type.code, targets };
}

function narrowBinding(
  node: ElementNode,
  binding: { strength: string; valueSet?: string },
  sources: ProfileSources,
): void {
  if (binding.strength !== 'required') return;
  const url = binding.valueSet?.split('|')[0];
  if (url === undefined || !sources.hasValueSet(url))
    throw new Error('the value set of the required binding is unknown');
  node.valueSet = url;
}

function parseConstraint(constraint: NonNullable<DifferentialElement['constraint']>[number]): Constraint {
  const { key, severity, human, expression } = constraint;
  if (expression === undefined) throw new Error(`the constraint ${key} has no expression`);
  if (severity !== 'error' && severity !== 'warning') throw new Error(`the constraint ${key} has no severity`);
  try {
    fhirpath.parse(expression);
  } catch (cause) {
    throw new Error(`the expression of the constraint ${key} is not FHIRPath`, { cause });
  }
  return { key, severity, human, expression };
}
