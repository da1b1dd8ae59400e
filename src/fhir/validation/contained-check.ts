import { type Check, isObject } from './check.ts';
import { type Compiled, collectFindings } from './collect-findings.ts';

/**
 * Builds the check that validates a contained resource by the R4 definition of its type, if this server has it. The
 * invariants dom-2 to dom-5 of the containing resource cover the rest.
 */
export function containedCheck(definitionOf: (type: string) => Compiled | undefined): Check {
  return (value, visit) => {
    if (!isObject(value) || typeof value['resourceType'] !== 'string') return;
    const definition = definitionOf(value['resourceType']);
    if (definition === undefined) return;
    for (const { code, diagnostics, path, severity } of collectFindings(value, definition, visit.resource)) {
      visit.report(code, diagnostics, path, severity);
    }
  };
}
