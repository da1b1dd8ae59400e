import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { applyProfile } from './apply-profile.ts';
import type { Definitions, ValueSetExpansion } from './definitions.ts';
import type { ElementNode } from './element-tree.ts';
import { expandValueSet } from './expand-value-set.ts';
import { loadDefinitions } from './load-definitions.ts';
import type { CodeSystem, StructureDefinition, ValueSet } from './structure-definition.ts';

interface Profile {
  /** Canonical URL. */
  readonly url: string;
  /** Resource type. */
  readonly type: string;
  readonly tree: ElementNode;
}

export interface Profiles {
  /** By canonical URL. */
  readonly profiles: ReadonlyMap<string, Profile>;
  readonly valueSets: ReadonlyMap<string, ValueSetExpansion>;
}

/** Conformance resources in the same folder that other modules read. */
const otherTypes = new Set(['SearchParameter', 'OperationDefinition', 'CapabilityStatement']);

/**
 * Reads the StructureDefinition, ValueSet and CodeSystem files (`*.json`) of a folder.
 * @throws Error that names the file and the path, if a file is not JSON, contradicts R4, or has a rule that is not
 *   enforced.
 */
export function loadProfiles(folder: string, definitions: Definitions = loadDefinitions()): Profiles {
  const structures = new Map<string, StructureDefinition>();
  const codeSystems = new Map<string, CodeSystem>();
  const composed = new Map<string, ValueSet>();
  const files = new Map<string, string>();
  for (const file of readdirSync(folder).sort()) {
    if (!file.endsWith('.json')) continue;
    inFile(file, () => {
      const resource = JSON.parse(readFileSync(join(folder, file), 'utf8')) as
        | StructureDefinition
        | CodeSystem
        | ValueSet;
      if (otherTypes.has(resource.resourceType)) return;
      if (typeof resource.url !== 'string') throw new Error('the url is missing');
      if (files.has(resource.url)) throw new Error(`the url is also that of ${files.get(resource.url)}`);
      files.set(resource.url, file);
      if (resource.resourceType === 'StructureDefinition') structures.set(resource.url, resource);
      else if (resource.resourceType === 'CodeSystem') codeSystems.set(resource.url, resource);
      else if (resource.resourceType === 'ValueSet') composed.set(resource.url, resource);
      else throw new Error('the resourceType is not supported in profiles/');
    });
  }

  const valueSets = new Map<string, ValueSetExpansion>();
  const expanding = new Set<string>();
  const expand = (url: string): ValueSetExpansion | undefined => {
    const valueSet = composed.get(url);
    if (valueSet === undefined) return definitions.valueSets.get(url);
    const known = valueSets.get(url);
    if (known !== undefined) return known;
    if (expanding.has(url)) throw new Error('the value set includes itself');
    expanding.add(url);
    const expansion = expandValueSet(valueSet, codeSystems, expand);
    valueSets.set(url, expansion);
    return expansion;
  };
  for (const url of composed.keys()) inFile(files.get(url), () => expand(url));

  const profiles = new Map<string, Profile>();
  const profileTypes = new Map([...structures].map(([url, structure]) => [url, structure.type]));
  const hasValueSet = (url: string) => valueSets.has(url) || definitions.valueSets.has(url);
  for (const [url, structure] of structures) {
    inFile(files.get(url), () => {
      const tree = applyProfile(structure, { definitions, profileTypes, hasValueSet });
      profiles.set(url, { url, type: structure.type, tree });
    });
  }
  return { profiles, valueSets };
}

function inFile(file: string | undefined, read: () => void): void {
  try {
    read();
  } catch (cause) {
    throw new Error(`profile ${file}: ${(cause as Error).message}`, { cause });
  }
}
