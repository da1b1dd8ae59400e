import { join } from 'node:path';
import t from 'tap';
import { loadDefinitions } from '../../src/fhir/definitions/load-definitions.ts';
import { loadSearchParameters } from '../../src/fhir/definitions/search-parameters.ts';
import { allowedParameters } from '../../src/interactions/search/allowed-parameters.ts';
import { requiredValues } from '../../src/interactions/search/check-values.ts';

const profiles = join(import.meta.dirname, '../../profiles');
const definitions = loadDefinitions();

/** Returns the codes of the required binding of the element that a parameter searches; undefined if it has none. */
function boundCodes(type: string, expression: string): readonly string[] | undefined {
  const element = definitions.types.get(type)?.elements.find(({ path }) => path === expression);
  const isCode = element?.types?.some(({ code }) => code === 'code') === true;
  if (!isCode || element?.valueSet === undefined) return undefined;
  const expansion = definitions.valueSets.get(element.valueSet);
  const codes = [...(expansion?.values() ?? [])].flatMap((found) => [...found.keys()]).sort();
  // Media types are not enumerated.
  return codes.length === 0 ? undefined : codes;
}

t.test('the codes that a search takes are those of the required bindings of R4', async (t) => {
  for (const [type, params] of loadSearchParameters(profiles)) {
    for (const [code, { type: kind, expression }] of params) {
      if (kind !== 'token' || allowedParameters[type]?.parameters.has(code) !== true) continue;
      const known = requiredValues[type]?.[code];
      t.strictSame(
        known === undefined ? undefined : [...known].sort(),
        boundCodes(type, expression),
        `${type}?${code}`,
      );
    }
  }
});
