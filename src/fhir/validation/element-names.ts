import type { Definitions } from '../definitions/definitions.ts';
import type { ElementNode } from '../definitions/element-tree.ts';

/** Returns the JSON name of a choice element for a type: `value` and `dateTime` become `valueDateTime`. */
export function choiceName(name: string, typeCode: string): string {
  return name + typeCode.charAt(0).toUpperCase() + typeCode.slice(1);
}

/** Returns whether a primitive can have a `_name` object. Logical ids, `Extension.url` and XHTML cannot. */
export function hasSibling(node: ElementNode): boolean {
  return node.name !== 'id' && node.path !== 'Extension.url' && node.types[0]?.code !== 'xhtml';
}

/** Returns whether a profile prohibits the `_name` object of a primitive, by prohibiting its `id` and `extension`. */
export function prohibitsSibling(node: ElementNode): boolean {
  return node.children?.get('id')?.max === 0 && node.children.get('extension')?.max === 0;
}

/** Returns whether the type is a resource. A resource within a resource is validated separately. */
export function isResource(definitions: Definitions, typeCode: string): boolean {
  return typeCode === 'Resource' || definitions.types.get(typeCode)?.kind === 'resource';
}
