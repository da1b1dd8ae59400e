import { type Check, isObject } from './check.ts';
import { type Compiled, collectFindings } from './collect-findings.ts';

/**
 * A contained resource is validated by R4's definition of its type, where this server has it. That it is referred to,
 * holds no other and has no version are invariants of what contains it (dom-2 to dom-5).
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
