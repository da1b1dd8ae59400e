/** Elements of a resource in JSON, with what their definition says of them. https://hl7.org/fhir/R4/json.html */
import type { Definitions } from '../definitions/definitions.ts';
import { buildTree, type ElementNode, expandChildren } from '../definitions/element-tree.ts';
import type { PathStep } from './patch-path.ts';
import { cannotApply, isJsonObject, type JsonObject } from './patched.ts';

/** One value of an element: a primitive has its id and extensions beside it, under `_name`. */
export interface Item {
  readonly value: unknown;
  readonly beside: unknown;
}

/** An element as it stands, or would stand, in its parent. */
export interface Element {
  readonly parent: JsonObject;
  /** Where the parent itself stands; undefined: it is the resource. */
  readonly parentElement: Element | undefined;
  readonly node: ElementNode;
  /** The JSON name: of a choice with its type, such as `deceasedBoolean`. */
  readonly key: string;
  readonly index: number | undefined;
}

/** The resource, or an element that has children. */
export interface Holder {
  readonly object: JsonObject;
  readonly element: Element | undefined;
  readonly children: ReadonlyMap<string, ElementNode>;
}

export const capitalise = (text: string): string => text.charAt(0).toUpperCase() + text.slice(1);

export function readItems(parent: JsonObject, key: string): Item[] {
  const listOf = (value: unknown): unknown[] => (value === undefined ? [] : Array.isArray(value) ? value : [value]);
  const values = listOf(parent[key]);
  const besides = listOf(parent[`_${key}`]);
  return Array.from({ length: Math.max(values.length, besides.length) }, (_, index) => ({
    value: values[index] ?? undefined,
    beside: besides[index] ?? undefined,
  }));
}

/** Sets all values of an element; none: it is gone. */
export function writeItems(parent: JsonObject, key: string, repeats: boolean, items: readonly Item[]): void {
  const write = (name: string, values: readonly unknown[]): void => {
    if (values.every((value) => value === undefined)) delete parent[name];
    else parent[name] = repeats ? values.map((value) => value ?? null) : values[0];
  };
  write(
    key,
    items.map(({ value }) => value),
  );
  write(
    `_${key}`,
    items.map(({ beside }) => beside),
  );
}

/** Walks a resource of the type by the steps that a path found. */
export function buildWalk(definitions: Definitions, type: string) {
  const root = buildTree(definitions, type);

  function childrenOf(node: ElementNode, key: string): ReadonlyMap<string, ElementNode> {
    const expanded = expandChildren(definitions, root, node);
    if (expanded !== undefined) return expanded;
    const chosen = node.types.find(({ code }) => key === node.name + capitalise(code))?.code ?? '';
    if (!definitions.types.has(chosen)) return new Map();
    return buildTree(definitions, chosen).children ?? new Map();
  }

  /** The key under which the parent holds the element now; of a choice that is not there, undefined. */
  function keyIn(parent: JsonObject, node: ElementNode): string | undefined {
    if (!node.isChoice) return node.name;
    const keys = node.types.map(({ code }) => node.name + capitalise(code));
    return keys.find((key) => Object.hasOwn(parent, key) || Object.hasOwn(parent, `_${key}`));
  }

  /** What an element holds its children in: of a primitive the object beside it, which is made. */
  function hold(element: Element): Holder {
    const { parent, key, node, index = 0 } = element;
    const items = readItems(parent, key);
    const item = items[index];
    const children = childrenOf(node, key);
    if (isJsonObject(item?.value)) return { object: item.value, element, children };
    const beside = isJsonObject(item?.beside) ? item.beside : {};
    if (item !== undefined && item.beside !== beside) {
      items[index] = { ...item, beside };
      writeItems(parent, key, node.repeats, items);
    }
    return { object: beside, element, children };
  }

  /** The child as it stands in the holder. Throws 422 for a name that the definition does not have. */
  function child(holder: Holder, name: string, index?: number): Element | undefined {
    const node = holder.children.get(name);
    if (node === undefined) throw cannotApply('The element has no such child.');
    const key = keyIn(holder.object, node);
    return key === undefined ? undefined : { parent: holder.object, parentElement: holder.element, node, key, index };
  }

  function holderAt(resource: JsonObject, steps: readonly PathStep[]): Holder {
    let holder: Holder = { object: resource, element: undefined, children: root.children ?? new Map() };
    for (const { name, index } of steps) {
      const element = child(holder, name, index);
      if (element === undefined) throw cannotApply('The path names an element that is not there.');
      holder = hold(element);
    }
    return holder;
  }

  return { child, childrenOf, holderAt };
}

export type Walk = ReturnType<typeof buildWalk>;

/** Takes an element out; a parent that is left empty goes with it, as no element is without content. */
export function removeElement({ parent, parentElement, node, key, index }: Element): void {
  const items = readItems(parent, key);
  items.splice(index ?? 0, 1);
  writeItems(parent, key, node.repeats, items);
  if (Object.keys(parent).length === 0 && parentElement !== undefined) removeElement(parentElement);
}
