/** Extracts the searchable values of a resource with the FHIRPath expressions of its search parameters. */
import fhirpath from 'fhirpath';
import r4 from 'fhirpath/fhir-context/r4';
import type { SearchParameter } from '../definitions/search-parameter.ts';
import type { SearchParameterDefinitions } from '../definitions/search-parameters.ts';
import type { IndexValue } from './ast.ts';
import { toIndexValues } from './index-value.ts';

export interface ExtractOptions {
  /** The server's base URL, without a trailing slash. An absolute reference under it counts as local. */
  readonly baseUrl: string;
  /** The parameters to extract. Default: every defined parameter of the type. */
  readonly params?: ReadonlySet<string>;
}

type Evaluate = (resource: object) => unknown[];

const compiled = new Map<string, Evaluate>();

/**
 * Returns the index values of a valid resource, in the order of its parameters and without duplicates. Returns none for
 * a type without definitions. `_id` and `_lastUpdated` are not included. Leaves out values that cannot be indexed, such
 * as a reference to another server.
 */
export function extractIndexValues(
  resource: { readonly resourceType: string },
  definitions: SearchParameterDefinitions,
  options: ExtractOptions,
): IndexValue[] {
  const values = new Map<string, IndexValue>();
  for (const parameter of definitions.get(resource.resourceType)?.values() ?? []) {
    if (options.params !== undefined && !options.params.has(parameter.code)) continue;
    const nodes = expressionOf(parameter)(resource);
    const types = fhirpath.types(nodes);
    const elements = fhirpath.resolveInternalTypes(nodes) as unknown[];
    elements.forEach((element, i) => {
      const elementType = (types[i] ?? '').slice((types[i] ?? '').indexOf('.') + 1);
      for (const value of toIndexValues(parameter, elementType, element, options.baseUrl)) {
        values.set(JSON.stringify(value), value);
      }
    });
  }
  return [...values.values()];
}

function expressionOf(parameter: SearchParameter): Evaluate {
  const known = compiled.get(parameter.expression);
  if (known !== undefined) return known;
  const evaluate = fhirpath.compile(parameter.expression, r4, { resolveInternalTypes: false }) as Evaluate;
  compiled.set(parameter.expression, evaluate);
  return evaluate;
}
