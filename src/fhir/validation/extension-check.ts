import { type Check, isObject } from './check.ts';
import { type Compiled, collectFindings } from './collect-findings.ts';

/**
 * An extension whose definition is at hand has to be as it says. One that is not known may be anything, unless it
 * modifies what it stands in: then it is refused. https://hl7.org/fhir/R4/extensibility.html#modifierExtension
 * @param allowed canonical URLs of the extensions that a profile allows here; undefined: any.
 */
export function extensionCheck(
  definitionOf: (url: string) => Compiled | undefined,
  allowed: readonly string[] | undefined,
  isModifier: boolean,
): Check {
  return (value, visit) => {
    if (!isObject(value) || typeof value['url'] !== 'string') return;
    const { url } = value;
    if (allowed !== undefined && !allowed.includes(url)) {
      visit.report('extension', 'The profile does not allow this extension.', ['url']);
      return;
    }
    const definition = definitionOf(url);
    if (definition === undefined) {
      if (isModifier) visit.report('extension', 'An unknown modifierExtension cannot be processed.', ['url']);
      return;
    }
    for (const { code, diagnostics, path, severity } of collectFindings(value, definition, visit.resource)) {
      visit.report(code, diagnostics, path, severity);
    }
  };
}
