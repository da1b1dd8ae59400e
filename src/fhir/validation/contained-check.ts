import { type Check, type Compiled, isObject } from './check.ts';

/**
 * Builds the check that validates a contained resource by the R4 definition of its type, if this server has it. The
 * invariants dom-2 to dom-5 of the containing resource cover the rest.
 */
export function containedCheck(definitionOf: (type: string) => Compiled | undefined): Check {
  return (value, visit) => {
    if (!isObject(value) || typeof value['resourceType'] !== 'string') return;
    const definition = definitionOf(value['resourceType']);
    if (definition !== undefined) visit.checkBy(value, definition);
  };
}
