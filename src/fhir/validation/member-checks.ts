import type { Definitions } from '../definitions/definitions.ts';
import type { ElementNode } from '../definitions/element-tree.ts';
import { type Check, isObject } from './check.ts';
import { choiceName, hasSibling, prohibitsSibling } from './element-names.ts';

/**
 * Builds the checks of FHIR's JSON rules for the members of an object together: a required primitive may be present
 * only as its `_name` object, a choice has one type, `null` occurs only where the `_name` array has an element, and
 * ext-1. https://hl7.org/fhir/R4/json.html#primitive
 */
export function memberChecks(node: ElementNode, definitions: Definitions): readonly Check[] {
  const checks: Check[] = [];
  for (const child of node.children?.values() ?? []) {
    if (child.max === 0) continue;
    if (child.isChoice) {
      checks.push(choiceCheck(child));
    } else if (
      definitions.primitives.has(child.types[0]?.code ?? '') &&
      hasSibling(child) &&
      !prohibitsSibling(child)
    ) {
      if (child.min > 0) checks.push(requiredPrimitiveCheck(child.name));
      if (child.repeats) checks.push(alignmentCheck(child.name));
    }
  }
  if (node.path === 'Extension') checks.push(checkExtension);
  return checks;
}

function requiredPrimitiveCheck(name: string): Check {
  return (value, visit) => {
    if (!isObject(value) || value[name] !== undefined || value[`_${name}`] !== undefined) return;
    visit.report('required', `The element ${name} is required.`, [name]);
  };
}

function choiceCheck(child: ElementNode): Check {
  const typeOfName = new Map<string, string>();
  for (const { code } of child.types) {
    typeOfName.set(choiceName(child.name, code), code);
    typeOfName.set(`_${choiceName(child.name, code)}`, code);
  }
  return (value, visit) => {
    if (!isObject(value)) return;
    const found = new Set(Object.keys(value).flatMap((key) => typeOfName.get(key) ?? []));
    if (found.size > 1) visit.report('structure', `The choice ${child.name}[x] must have only one type.`, [child.name]);
    if (found.size < child.min) visit.report('required', `The element ${child.name}[x] is required.`, [child.name]);
  };
}

function alignmentCheck(name: string): Check {
  return (value, visit) => {
    if (!isObject(value)) return;
    const items = value[name];
    const siblings = value[`_${name}`];
    if (!Array.isArray(items) && !Array.isArray(siblings)) return;
    if (Array.isArray(items) && Array.isArray(siblings) && items.length !== siblings.length) {
      visit.report('structure', `The arrays ${name} and _${name} must have the same length.`, [name]);
      return;
    }
    const length = Math.max(Array.isArray(items) ? items.length : 0, Array.isArray(siblings) ? siblings.length : 0);
    for (let index = 0; index < length; index++) {
      const isMissing = (list: unknown) => !Array.isArray(list) || list[index] === undefined || list[index] === null;
      if (!isMissing(items) || !isMissing(siblings)) continue;
      visit.report('structure', 'A null in a JSON array must have an extension at the same position.', [name, index]);
    }
  };
}

const checkExtension: Check = (value, visit) => {
  if (!isObject(value)) return;
  const hasValue = Object.keys(value).some((key) => /^_?value[A-Z]/.test(key));
  if (hasValue === (value['extension'] !== undefined)) {
    visit.report('invariant', 'ext-1: Must have either extensions or value[x], not both.');
  }
};
