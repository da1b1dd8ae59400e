import fhirpath from 'fhirpath';
import r4 from 'fhirpath/fhir-context/r4';
import type { Constraint } from '../definitions/definitions.ts';
import { type Check, isObject } from './check.ts';
import type { DecideInvariant } from './r4-invariants.ts';

/**
 * Builds the check of an invariant by its FHIRPath, compiled at first use, unless `decide` decides it. An invariant that
 * cannot be evaluated counts as broken.
 */
export function invariantCheck(base: string, constraint: Constraint, decide: DecideInvariant | undefined): Check {
  const { key, human, expression, severity } = constraint;
  const evaluate = compileOnce(base, expression);
  const diagnostics = `${key}: ${human}`;
  return (value, visit) => {
    const decided = decide !== undefined && isObject(value) ? decide(value, visit.resource) : undefined;
    if (decided === true) return;
    const holds = (): boolean => decided ?? evaluate(value, visit.resource);
    visit.defer({ diagnostics, severity, holds });
  };
}

function compileOnce(base: string, expression: string): (value: unknown, resource: unknown) => boolean {
  let compiled: ((value: unknown, variables: Record<string, unknown>) => unknown[]) | undefined;
  return (value, resource) => {
    compiled ??= fhirpath.compile({ base, expression }, r4, { traceFn: () => {} });
    try {
      const [result] = compiled(value, { resource, rootResource: resource });
      return result === true;
    } catch {
      return false;
    }
  };
}
