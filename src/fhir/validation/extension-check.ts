import { type Check, type Compiled, isObject } from './check.ts';

/**
 * Builds the check of an extension by its definition. An unknown extension may hold anything, but an unknown
 * modifierExtension is refused. https://hl7.org/fhir/R4/extensibility.html#modifierExtension
 * @param base the definition of every extension.
 * @param allowed canonical URLs of the extensions that a profile allows here; undefined for any.
 */
export function extensionCheck(
  definitionOf: (url: string) => Compiled | undefined,
  base: () => Compiled,
  allowed: readonly string[] | undefined,
  isModifier: boolean,
): Check {
  return (value, visit) => {
    if (!isObject(value)) return;
    const { url } = value;
    const definition = typeof url === 'string' ? definitionOf(url) : undefined;
    if (allowed !== undefined && !allowed.some((each) => each === url)) {
      visit.report('extension', 'The profile does not allow this extension. Remove it.', ['url']);
    } else if (isModifier && definition === undefined) {
      visit.report('extension', 'This modifierExtension is not supported.', ['url']);
    }
    visit.checkBy(value, definition ?? base());
  };
}
