import fhirpath from 'fhirpath';
import r4 from 'fhirpath/fhir-context/r4';
import type { Constraint } from '../definitions/definitions.ts';
import { type Check, isObject } from './check.ts';

/** Elements without which an invariant of R4 holds by itself: saves its evaluation. */
const needs: Readonly<Record<string, readonly string[]>> = {
  'dom-2': ['contained'],
  'dom-3': ['contained'],
  'dom-4': ['contained'],
  'dom-5': ['contained'],
  'per-1': ['start', 'end'],
};

/** An invariant as FHIRPath, compiled when it is first met. One that can't be evaluated has failed. */
export function invariantCheck(base: string, constraint: Constraint): Check {
  const { key, human, expression, severity } = constraint;
  const needed = needs[key] ?? [];
  const evaluate = compileOnce(base, expression);
  return (value, visit) => {
    if (isObject(value)) {
      for (const name of needed) if (value[name] === undefined) return;
      if (key === 'ref-1' && !String(value['reference']).startsWith('#')) return;
    }
    const holds = evaluate(value, visit.resource);
    if (holds === true || (holds === undefined && visit.isMalformed)) return;
    visit.report('invariant', `${key}: ${human}`, [], severity);
  };
}

function compileOnce(base: string, expression: string): (value: unknown, resource: unknown) => boolean | undefined {
  let compiled: ((value: unknown, variables: Record<string, unknown>) => unknown[]) | undefined;
  return (value, resource) => {
    compiled ??= fhirpath.compile({ base, expression }, r4, { traceFn: () => {} });
    try {
      const [result] = compiled(value, { resource, rootResource: resource });
      return typeof result === 'boolean' ? result : undefined;
    } catch {
      return undefined;
    }
  };
}
