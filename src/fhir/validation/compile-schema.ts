import { Ajv, type ValidateFunction } from 'ajv';
import type { Definitions, ValueSetExpansion } from '../definitions/definitions.ts';
import { buildTree, type ElementNode } from '../definitions/element-tree.ts';
import { buildJsonSchema, elementOrNull, type SchemaSources, schemaIdOf } from './json-schema.ts';
import { primitiveFormats } from './primitive-formats.ts';

/** Compiles JSON Schemas, each data type once, so that no step takes long. */
export interface SchemaCompiler {
  /** Names of the data types, in an order in which each is compiled alone. */
  readonly types: readonly string[];
  compileType(type: string): ValidateFunction;
  /** Compiles the tree of a profile, or of a resource type if `profileUrl` is undefined. */
  compile(tree: ElementNode, profileUrl: string | undefined): ValidateFunction;
}

export function buildCompiler(
  definitions: Definitions,
  expansionOf: (valueSetUrl: string) => ValueSetExpansion | undefined,
): SchemaCompiler {
  const sources: SchemaSources = {
    definitions,
    codesOf(url) {
      const expansion = expansionOf(url);
      return expansion && [...expansion.values()].flatMap((codes) => [...codes.keys()]);
    },
  };
  const ajv = new Ajv({ allErrors: true, verbose: true, strict: false, validateSchema: false, ownProperties: true });
  for (const [name, test] of primitiveFormats(definitions)) ajv.addFormat(`fhir-${name}`, test);
  const typeOf = (name: string): ValidateFunction => {
    const compiled = ajv.getSchema(schemaIdOf(name));
    if (compiled === undefined) throw new Error(`no schema of ${name}`);
    return compiled as ValidateFunction;
  };
  const types = orderTypes(definitions);
  for (const type of types) {
    ajv.addSchema(Object(buildJsonSchema(sources, buildTree(definitions, type), schemaIdOf(type))));
  }
  ajv.addSchema(Object(buildJsonSchema(sources, buildTree(definitions, 'Element'), elementOrNull, true)));
  return {
    types,
    compileType: typeOf,
    compile(tree, profileUrl) {
      const id = profileUrl ?? schemaIdOf(tree.name);
      return ajv.compile(Object(buildJsonSchema(sources, tree, id)));
    },
  };
}

/** Orders the data types so that most of what a type consists of comes before it. Extension may hold any of them. */
function orderTypes({ types }: Definitions): readonly string[] {
  const sizeOf = (name: string): number =>
    name === 'Extension' ? Number.POSITIVE_INFINITY : (types.get(name)?.elements.length ?? 0);
  const dataTypes = [...types].filter(([, { kind }]) => kind !== 'resource').map(([name]) => name);
  return dataTypes.sort((a, b) => sizeOf(a) - sizeOf(b));
}
