/** Elements of a resource in JSON, with their definition. https://hl7.org/fhir/R4/json.html */
import type { Definitions } from '../definitions/definitions.ts';
import { buildTree, type ElementNode, expandChildren } from '../definitions/element-tree.ts';
import type { PathStep } from './patch-path.ts';
import { cannotApply, isJsonObject, type JsonObject } from './patched.ts';

/** One value of an element. `beside` holds the id and extensions of a primitive, from `_name`. */
export interface Item {
  readonly value: unknown;
  readonly beside: unknown;
}

/** The place of an element in its parent, whether or not the element exists. */
export interface Element {
  readonly parent: JsonObject;
  /** The place of the parent; undefined if the parent is the resource. */
  readonly parentElement: Element | undefined;
  readonly node: ElementNode;
  /** The JSON name. That of a choice includes its type, such as `deceasedBoolean`. */
  readonly key: string;
  readonly index: number | undefined;
}

/** The resource, or an element with children. */
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

/** Sets all values of an element. Removes the element if there are none. */
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

/** Builds functions that walk a resource of a type along the steps of a path. */
export function buildWalk(definitions: Definitions, type: string) {
  const root = buildTree(definitions, type);

  function childrenOf(node: ElementNode, key: string): ReadonlyMap<string, ElementNode> {
    const expanded = expandChildren(definitions, root, node);
    if (expanded !== undefined) return expanded;
    const chosen = node.types.find(({ code }) => key === node.name + capitalise(code))?.code ?? '';
    if (!definitions.types.has(chosen)) return new Map();
    return buildTree(definitions, chosen).children ?? new Map();
  }

  /** Returns the JSON name of an element in its parent; undefined for a choice that is absent. */
  function keyIn(parent: JsonObject, node: ElementNode): string | undefined {
    if (!node.isChoice) return node.name;
    const keys = node.types.map(({ code }) => node.name + capitalise(code));
    return keys.find((key) => Object.hasOwn(parent, key) || Object.hasOwn(parent, `_${key}`));
  }

  /** Returns the object that holds the children of an element. Creates the `_name` object of a primitive. */
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

  /** Returns the place of a child. Throws a 422 fault for a name that the definition does not have. */
  function child(holder: Holder, name: string, index?: number): Element | undefined {
    const node = holder.children.get(name);
    if (node === undefined) throw cannotApply('The definition has no such element.');
    const key = keyIn(holder.object, node);
    return key === undefined ? undefined : { parent: holder.object, parentElement: holder.element, node, key, index };
  }

  function holderAt(resource: JsonObject, steps: readonly PathStep[]): Holder {
    let holder: Holder = { object: resource, element: undefined, children: root.children ?? new Map() };
    for (const { name, index } of steps) {
      const element = child(holder, name, index);
      if (element === undefined) throw cannotApply('The path names an element that does not exist.');
      holder = hold(element);
    }
    return holder;
  }

  return { child, childrenOf, holderAt };
}

export type Walk = ReturnType<typeof buildWalk>;

/** Removes an element, and every parent that this leaves empty, because no FHIR element is empty. */
export function removeElement({ parent, parentElement, node, key, index }: Element): void {
  const items = readItems(parent, key);
  items.splice(index ?? 0, 1);
  writeItems(parent, key, node.repeats, items);
  if (Object.keys(parent).length === 0 && parentElement !== undefined) removeElement(parentElement);
}
