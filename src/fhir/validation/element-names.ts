import type { Definitions } from '../definitions/definitions.ts';
import type { ElementNode } from '../definitions/element-tree.ts';

/** Name that a choice element has in JSON for a type: `value` + `dateTime` -> `valueDateTime`. */
export function choiceName(name: string, typeCode: string): string {
  return name + typeCode.charAt(0).toUpperCase() + typeCode.slice(1);
}

/** Logical ids, `Extension.url` and XHTML have no `_name` object. */
export function hasSibling(node: ElementNode): boolean {
  return node.name !== 'id' && node.path !== 'Extension.url' && node.types[0]?.code !== 'xhtml';
}

/** True when the primitive's own `id` and `extension` are prohibited, so that it has no `_name` object. */
export function prohibitsSibling(node: ElementNode): boolean {
  return node.children?.get('id')?.max === 0 && node.children.get('extension')?.max === 0;
}

/** A resource within a resource: looked at as an object with a resourceType, validated on its own by who owns it. */
export function isResource(definitions: Definitions, typeCode: string): boolean {
  return typeCode === 'Resource' || definitions.types.get(typeCode)?.kind === 'resource';
}
