import { fault } from '../../fhir/fault.ts';
import { nameParameter } from '../../fhir/search/parameter-name.ts';
import type { FhirRequest } from '../port/interaction.ts';

/** Values of each in parameter of an operation, in order. */
export type OperationParameters = ReadonlyMap<string, readonly string[]>;

function fromBody(body: unknown): [string, string][] {
  const { resourceType, parameter = [] } = body as { resourceType?: unknown; parameter?: unknown };
  if (resourceType !== 'Parameters' || !Array.isArray(parameter)) {
    throw fault('structure', 'The body of an operation must be a Parameters resource.', { expression: ['Parameters'] });
  }
  return parameter.map((each: unknown, position) => {
    const entries = typeof each === 'object' && each !== null ? Object.entries(each) : [];
    const name = entries.find(([key]) => key === 'name')?.[1];
    const [value, ...others] = entries.filter(([key]) => key.startsWith('value')).map((entry) => entry[1]);
    if (typeof name !== 'string' || others.length > 0 || !['string', 'number', 'boolean'].includes(typeof value)) {
      throw fault('invalid', 'A parameter must have a name and one primitive value.', {
        expression: [`Parameters.parameter[${position}]`],
      });
    }
    return [name, String(value)];
  });
}

/**
 * Reads the in parameters from the URL or the body. `repeats` says of each known name whether it may be repeated.
 * Throws for any other name. https://hl7.org/fhir/R4/operations.html#request
 */
export function readOperationParameters(
  { query, body }: Pick<FhirRequest, 'query' | 'body'>,
  repeats: Readonly<Record<string, boolean>>,
): OperationParameters {
  const pairs = [...query, ...(body === undefined ? [] : fromBody(body))];
  const found = new Map<string, string[]>();
  for (const [name, value] of pairs) {
    if (!Object.hasOwn(repeats, name)) {
      const known = Object.keys(repeats).join(', ');
      const text = known === '' ? 'no parameters' : `only these parameters: ${known}`;
      throw fault('not-supported', `The operation takes ${text}.`, { expression: [nameParameter(name)] });
    }
    const values = found.get(name) ?? [];
    if (values.length > 0 && repeats[name] !== true) {
      throw fault('invalid', 'This parameter must be given once only.', { expression: [name] });
    }
    found.set(name, [...values, value]);
  }
  return found;
}
