/** Applies FHIRPath Patch. https://hl7.org/fhir/R4/fhirpatch.html */
import type { Definitions } from '../definitions/definitions.ts';
import type { ElementNode } from '../definitions/element-tree.ts';
import { FhirFault } from '../fault.ts';
import type { Steps } from '../steps.ts';
import {
  buildWalk,
  capitalise,
  type Element,
  type Holder,
  type Item,
  readItems,
  removeElement,
  type Walk,
  writeItems,
} from './element.ts';
import { type PatchOperation, type PatchValue, parseOperations } from './patch-operations.ts';
import type { PathStep } from './patch-path.ts';
import { type ApplyPatch, cannotApply, type JsonObject, refuseExcess } from './patched.ts';

/** Returns the JSON name of an element with this value. The type of the value selects the name of a choice. */
function keyFor(node: ElementNode, value: PatchValue): string {
  if (!node.isChoice) return node.name;
  const { type } = value.kind === 'typed' ? value : { type: '' };
  if (node.types.some(({ code }) => capitalise(code) === type)) return node.name + type;
  throw cannotApply('The element cannot have a value of this type.');
}

function buildItem(walk: Walk, node: ElementNode, value: PatchValue): Item {
  if (value.kind === 'typed') return structuredClone(value.item);
  const children = walk.childrenOf(node, node.name);
  const object: JsonObject = {};
  for (const [name, member] of value.parts) add(walk, { object, element: undefined, children }, name, member);
  return { value: object, beside: undefined };
}

function add(walk: Walk, holder: Holder, name: string, value: PatchValue): void {
  const existing = walk.child(holder, name);
  const node = holder.children.get(name);
  if (node === undefined) throw cannotApply('The definition has no such element.');
  const key = keyFor(node, value);
  const items = existing === undefined ? [] : readItems(holder.object, existing.key);
  if (items.length > 0 && !node.repeats) {
    throw cannotApply('The element already exists and does not repeat. Use replace.');
  }
  writeItems(holder.object, key, node.repeats, [...items, buildItem(walk, node, value)]);
}

function elementAt(walk: Walk, resource: JsonObject, steps: readonly PathStep[]): Element {
  const last = steps.at(-1);
  if (last === undefined) throw cannotApply('The path selects the resource itself. Select an element of it.');
  const element = walk.child(walk.holderAt(resource, steps.slice(0, -1)), last.name, last.index);
  if (element === undefined) throw cannotApply('The path names an element that does not exist.');
  return element;
}

function findOne(operation: PatchOperation, resource: JsonObject): readonly PathStep[] | undefined {
  const found = operation.find(resource);
  if (found.length > 1) throw cannotApply('The path selects more than one element.');
  return found[0];
}

function requireOne(operation: PatchOperation, resource: JsonObject): readonly PathStep[] {
  const steps = findOne(operation, resource);
  if (steps === undefined) throw cannotApply('The path selects no element.');
  return steps;
}

/**
 * Returns the list that the path selects; undefined if it selects nothing. Throws a 422 fault unless it is one complete
 * list.
 */
function findList(walk: Walk, operation: PatchOperation, resource: JsonObject): Element | undefined {
  const found = operation.find(resource);
  const [first] = found;
  if (first === undefined) return undefined;
  const list = elementAt(walk, resource, first);
  const above = JSON.stringify(first.slice(0, -1));
  const isWhole =
    list.node.repeats &&
    found.length === readItems(list.parent, list.key).length &&
    found.every((steps, index) => steps.at(-1)?.index === index && JSON.stringify(steps.slice(0, -1)) === above);
  if (!isWhole) throw cannotApply('The path must select exactly one complete list of a repeating element.');
  return list;
}

function insert(walk: Walk, operation: Extract<PatchOperation, { type: 'insert' }>, resource: JsonObject): void {
  const { value, index, empty } = operation;
  const list = findList(walk, operation, resource);
  if (list !== undefined) {
    const items = readItems(list.parent, list.key);
    if (index > items.length) throw cannotApply('The index is beyond the end of the list.');
    items.splice(index, 0, buildItem(walk, list.node, value));
    writeItems(list.parent, list.key, true, items);
    return;
  }
  const [above, ...others] = empty?.find(resource) ?? [];
  if (above === undefined || empty === undefined || others.length > 0) throw cannotApply('The path selects no list.');
  const holder = walk.holderAt(resource, above);
  if (holder.children.get(empty.name)?.repeats !== true) throw cannotApply('The path selects no list.');
  if (index > 0) throw cannotApply('The index is beyond the end of the list.');
  add(walk, holder, empty.name, value);
}

function replace(walk: Walk, element: Element, value: PatchValue): void {
  const { parent, node, key, index = 0 } = element;
  const items = readItems(parent, key);
  items[index] = buildItem(walk, node, value);
  const newKey = keyFor(node, value);
  if (newKey !== key) writeItems(parent, key, node.repeats, []);
  writeItems(parent, newKey, node.repeats, items);
}

function move(walk: Walk, operation: Extract<PatchOperation, { type: 'move' }>, resource: JsonObject): void {
  const { source, destination } = operation;
  const list = findList(walk, operation, resource);
  const items = list === undefined ? [] : readItems(list.parent, list.key);
  if (list === undefined || source >= items.length || destination >= items.length) {
    throw cannotApply('The source or destination is beyond the end of the list.');
  }
  items.splice(destination, 0, ...items.splice(source, 1));
  writeItems(list.parent, list.key, true, items);
}

function applyOne(walk: Walk, operation: PatchOperation, resource: JsonObject): void {
  switch (operation.type) {
    case 'add':
      add(walk, walk.holderAt(resource, requireOne(operation, resource)), operation.name, operation.value);
      break;
    case 'insert':
      insert(walk, operation, resource);
      break;
    case 'delete': {
      const steps = findOne(operation, resource);
      if (steps !== undefined) removeElement(elementAt(walk, resource, steps));
      break;
    }
    case 'replace':
      replace(walk, elementAt(walk, resource, requireOne(operation, resource)), operation.value);
      break;
    case 'move':
      move(walk, operation, resource);
      break;
  }
}

/** Parses a Parameters resource as a patch. Throws a 400 fault unless all operations are well-formed. */
export function* parseFhirPathPatch(parameters: JsonObject, definitions: Definitions): Steps<ApplyPatch> {
  const operations = yield* parseOperations(parameters);
  return function* (resource) {
    const patched = structuredClone(resource);
    const type = String(patched['resourceType']);
    const walk = buildWalk(definitions, type);
    for (const operation of operations) {
      yield;
      try {
        applyOne(walk, operation, patched);
        refuseExcess(patched);
      } catch (error) {
        if (!(error instanceof FhirFault)) throw error;
        const issues = error.issues.map((issue) => ({ ...issue, expression: [operation.at] }));
        throw error.withIssues(issues);
      }
    }
    return patched;
  };
}
