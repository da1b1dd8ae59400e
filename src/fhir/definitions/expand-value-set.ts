import type { ValueSetExpansion } from './definitions.ts';
import type { CodeSystem, ConceptRecord, ValueSet } from './structure-definition.ts';

/**
 * Expands a value set into its codes, each with the display of the value set or of its code system.
 * @param find returns the expansion of another value set by canonical URL.
 * @throws Error if the value set includes something unknown, or uses filters or exclusions.
 */
export function expandValueSet(
  valueSet: ValueSet,
  codeSystems: ReadonlyMap<string, CodeSystem>,
  find: (url: string) => ValueSetExpansion | undefined,
): ValueSetExpansion {
  const expansion = new Map<string, Map<string, string | undefined>>();
  const add = (system: string, code: string, display: string | undefined) => {
    const codes = expansion.get(system) ?? new Map<string, string | undefined>();
    expansion.set(system, codes.set(code, display));
  };
  if (valueSet.compose.exclude !== undefined) throw new Error('compose.exclude is not supported');
  for (const { system, concept, valueSet: included, filter } of valueSet.compose.include) {
    if (filter !== undefined) throw new Error('compose.include.filter is not supported');
    for (const url of included ?? []) {
      const other = find(url);
      if (other === undefined) throw new Error('compose.include.valueSet names an unknown value set');
      for (const [name, codes] of other) for (const [code, display] of codes) add(name, code, display);
    }
    if (system === undefined) continue;
    const known = flatten(codeSystems.get(system)?.concept ?? []);
    if (concept === undefined && known.size === 0) throw new Error('compose.include names an unknown code system');
    for (const { code, display } of concept ?? known.values()) {
      if (known.size > 0 && !known.has(code)) throw new Error(`the code system has no code ${code}`);
      add(system, code, display ?? known.get(code)?.display);
    }
  }
  return expansion;
}

function flatten(concepts: readonly ConceptRecord[]): Map<string, ConceptRecord> {
  return new Map(concepts.flatMap((concept) => [[concept.code, concept], ...flatten(concept.concept ?? [])]));
}
