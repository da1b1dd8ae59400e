import type { Constraint, Definitions, ElementRecord, ElementType } from './definitions.ts';

/** An element with all its rules, from the base definition and from a profile. */
export interface ElementNode {
  /** Such as `Flag.code.coding`, or `Coding.system` for elements of a data type. */
  readonly path: string;
  /** Name without `[x]`. */
  readonly name: string;
  readonly isChoice: boolean;
  /** Whether the element is a JSON array, even if a profile narrows `max` to 1. */
  readonly repeats: boolean;
  min: number;
  /** Infinity for `*`. */
  max: number;
  types: readonly ElementType[];
  readonly contentReference: string | undefined;
  valueSet: string | undefined;
  /** Constraints of the element itself. Those of its type are on the root of the type. */
  constraints: readonly Constraint[];
  fixed: unknown;
  pattern: unknown;
  /** Anchored regular expression of a primitive, from a profile. */
  regex: string | undefined;
  /** Maximum number of characters, from a profile. */
  maxLength: number | undefined;
  /** Child elements in this tree; undefined for those of the type. */
  children: Map<string, ElementNode> | undefined;
}

/** Builds a new tree from the base definition of a type, which a profile may narrow. Throws for an unknown type. */
export function buildTree(definitions: Definitions, typeName: string): ElementNode {
  const type = definitions.types.get(typeName);
  if (type === undefined) throw new Error(`no definition of the type ${typeName}`);
  const nodes = new Map<string, ElementNode>();
  for (const record of type.elements) {
    const node = createNode(definitions, record);
    nodes.set(pathOf(record), node);
    const parent = nodes.get(record.path.slice(0, record.path.lastIndexOf('.')));
    if (parent === undefined) continue;
    parent.children ??= new Map();
    parent.children.set(node.name, node);
  }
  const root = nodes.get(typeName);
  if (root === undefined) throw new Error(`no root element of the type ${typeName}`);
  return root;
}

/**
 * Returns the children of an element and adds them to its tree, so that a profile can narrow them. They come from its
 * type, from the `_name` object of a primitive, or from the element that it refers to. Returns undefined if the element
 * has no single type.
 */
export function expandChildren(
  definitions: Definitions,
  root: ElementNode,
  node: ElementNode,
): Map<string, ElementNode> | undefined {
  if (node.children !== undefined) return node.children;
  if (node.contentReference !== undefined) {
    node.children = buildChildrenAt(definitions, root.name, node.contentReference);
    return node.children;
  }
  const [type, ...others] = node.types;
  if (type === undefined || others.length > 0 || type.code === 'Resource') return undefined;
  const source = buildTree(definitions, definitions.primitives.has(type.code) ? 'Element' : type.code);
  node.children = source.children;
  if (!definitions.primitives.has(type.code)) node.constraints = [...source.constraints, ...node.constraints];
  return node.children;
}

function buildChildrenAt(
  definitions: Definitions,
  typeName: string,
  path: string,
): Map<string, ElementNode> | undefined {
  let node: ElementNode | undefined = buildTree(definitions, typeName);
  for (const name of path.split('.').slice(1)) node = node?.children?.get(name);
  return node?.children;
}

function createNode(definitions: Definitions, record: ElementRecord): ElementNode {
  const name = pathOf(record).slice(record.path.lastIndexOf('.') + 1);
  return {
    path: pathOf(record),
    name,
    isChoice: record.path.endsWith('[x]'),
    repeats: (record.max ?? '1') !== '1',
    min: record.min ?? 0,
    max: record.max === '*' ? Number.POSITIVE_INFINITY : Number(record.max ?? 1),
    types: record.types ?? [],
    contentReference: record.contentReference,
    valueSet: record.valueSet,
    constraints: (record.constraints ?? []).flatMap((key) => definitions.constraints.get(key) ?? []),
    fixed: record.fixed,
    pattern: record.pattern,
    regex: undefined,
    maxLength: undefined,
    children: undefined,
  };
}

function pathOf(record: ElementRecord): string {
  return record.path.replace('[x]', '');
}
