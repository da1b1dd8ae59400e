import { type Check, isObject } from './check.ts';
import { type Compiled, collectFindings } from './collect-findings.ts';

/**
 * Builds the check of an extension by its definition. An unknown extension may hold anything, but an unknown
 * modifierExtension is refused. https://hl7.org/fhir/R4/extensibility.html#modifierExtension
 * @param allowed canonical URLs of the extensions that a profile allows here; undefined for any.
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
      visit.report('extension', 'The profile does not allow this extension. Remove it.', ['url']);
      return;
    }
    const definition = definitionOf(url);
    if (definition === undefined) {
      if (isModifier) visit.report('extension', 'This modifierExtension is not supported.', ['url']);
      return;
    }
    for (const { code, diagnostics, path, severity } of collectFindings(value, definition, visit.resource)) {
      visit.report(code, diagnostics, path, severity);
    }
  };
}
