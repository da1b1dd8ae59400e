import type { Definitions } from '../definitions/definitions.ts';
import type { ElementNode } from '../definitions/element-tree.ts';
import { choiceName, hasSibling, isResource, prohibitsSibling } from './element-names.ts';

export type JsonSchema = { [keyword: string]: unknown } | boolean;

export interface SchemaSources {
  readonly definitions: Definitions;
  /** Returns the codes of a value set; undefined if it cannot be enumerated. */
  codesOf(valueSetUrl: string): readonly string[] | undefined;
}

const integers: Readonly<Record<string, readonly [min: number, max: number]>> = {
  integer: [-2147483648, 2147483647],
  positiveInt: [1, 2147483647],
  unsignedInt: [0, 2147483647],
};

/** Patterns for codes of value sets that cannot be enumerated. */
const codeForms: Readonly<Record<string, string>> = {
  'http://hl7.org/fhir/ValueSet/mimetypes':
    '^[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]{0,126}/[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]{0,126}( *; *[^;\\s=]+=("[^"]*"|[^;"\\s]+))*$',
  'http://hl7.org/fhir/ValueSet/currencies': '^[A-Z]{3}$',
};

/** The `$id` of the schema of the id and extensions of a primitive in an array, which is null if it has none. */
export const elementOrNull = 'urn:cpis-fhir:element-or-null';

/** Returns the `$id` of the schema of an R4 type. */
export function schemaIdOf(typeName: string): string {
  return `http://hl7.org/fhir/StructureDefinition/${typeName}`;
}

/**
 * Builds the JSON Schema of a tree: names, cardinalities, JSON types, primitive texts and codes of required bindings.
 * The checks of element-plan.ts cover what JSON Schema cannot express well: choices, `_name` objects, codings,
 * references and invariants. A `$comment` names the value set of an `enum`.
 */
export function buildJsonSchema(sources: SchemaSources, root: ElementNode, id: string, mayBeNull = false): JsonSchema {
  const { definitions, codesOf } = sources;
  const defs: Record<string, JsonSchema> = {};

  function objectOf(
    node: ElementNode,
    nullable = false,
  ): { properties: Record<string, JsonSchema>; required: string[] } {
    const properties: Record<string, JsonSchema> = {};
    const required: string[] = [];
    for (const child of node.children?.values() ?? []) {
      const typeCodes = child.types.length > 0 ? child.types.map(({ code }) => code) : [''];
      for (const code of typeCodes) {
        const name = child.isChoice ? choiceName(child.name, code) : child.name;
        const isPrimitive = definitions.primitives.has(code);
        properties[name] =
          child.max === 0 ? false : repeated(child, contentOf(child, code, child.repeats && isPrimitive));
        if (isPrimitive && hasSibling(child)) properties[`_${name}`] = siblingOf(child);
      }
      const mayStandInSibling =
        definitions.primitives.has(typeCodes[0] ?? '') && hasSibling(child) && !prohibitsSibling(child);
      if (child.min > 0 && !child.isChoice && !mayStandInSibling) required.push(child.name);
    }
    const type = nullable ? ['object', 'null'] : 'object';
    return Object.assign({ type, minProperties: 1, additionalProperties: false }, { properties, required });
  }

  function repeated(node: ElementNode, items: JsonSchema): JsonSchema {
    if (!node.repeats) return items;
    const maxItems = Number.isFinite(node.max) ? { maxItems: node.max } : {};
    return { type: 'array', minItems: Math.max(1, node.min), ...maxItems, items };
  }

  function siblingOf(node: ElementNode): JsonSchema {
    if (node.max === 0 || prohibitsSibling(node)) return false;
    if (node.children === undefined)
      return repeated(node, { $ref: node.repeats ? elementOrNull : schemaIdOf('Element') });
    return repeated(node, { ...objectOf(node, node.repeats) });
  }

  function contentOf(node: ElementNode, typeCode: string, nullable: boolean): JsonSchema {
    if (definitions.primitives.has(typeCode)) return primitiveOf(node, typeCode, nullable);
    if (node.children !== undefined) return { ...objectOf(node) };
    if (node.contentReference !== undefined) return referTo(node.contentReference);
    if (isResource(definitions, typeCode)) {
      return { type: 'object', required: ['resourceType'], properties: { resourceType: { type: 'string' } } };
    }
    // extension-check.ts checks these. Extension may hold any type, so a reference would make a circle of all schemas.
    if (typeCode === 'Extension') return { type: 'object' };
    return { $ref: schemaIdOf(typeCode) };
  }

  function referTo(path: string): JsonSchema {
    if (defs[path] === undefined) {
      let target: ElementNode | undefined = root;
      for (const name of path.split('.').slice(1)) target = target?.children?.get(name);
      if (target === undefined) throw new Error(`no element ${path}`);
      defs[path] = true;
      defs[path] = { ...objectOf(target) };
    }
    return { $ref: `#/$defs/${path}` };
  }

  function primitiveOf(node: ElementNode, typeCode: string, nullable: boolean): JsonSchema {
    const orNull = (type: string) => (nullable && !prohibitsSibling(node) ? [type, 'null'] : type);
    if (typeCode === 'boolean') return { type: orNull('boolean'), ...constantOf(node) };
    if (typeCode === 'decimal') return { type: orNull('number'), ...constantOf(node) };
    const range = integers[typeCode];
    if (range !== undefined)
      return { type: orNull('integer'), minimum: range[0], maximum: range[1], ...constantOf(node) };
    const codes = typeCode === 'code' && node.valueSet !== undefined ? codesOf(node.valueSet) : undefined;
    const form = node.valueSet === undefined ? undefined : codeForms[node.valueSet];
    return {
      type: orNull('string'),
      format: `fhir-${typeCode}`,
      ...(codes !== undefined && { enum: nullable ? [...codes, null] : codes, $comment: node.valueSet }),
      ...(form !== undefined && node.regex === undefined && { pattern: form, $comment: node.valueSet }),
      ...(node.regex !== undefined && { pattern: `^(?:${node.regex})$` }),
      ...(node.maxLength !== undefined && { maxLength: node.maxLength }),
      ...constantOf(node),
    };
  }

  const schema = objectOf(root, mayBeNull);
  if (definitions.types.get(root.name)?.kind === 'resource') {
    schema.properties['resourceType'] = { const: root.name };
    schema.required.push('resourceType');
  }
  return { $id: id, ...schema, $defs: defs };
}

/** Returns the fixed or pattern value of a primitive. Those of data types are checked by pattern-check.ts. */
function constantOf(node: ElementNode): { const?: unknown } {
  const constant = node.fixed ?? node.pattern;
  return constant === undefined || typeof constant === 'object' ? {} : { const: constant };
}
