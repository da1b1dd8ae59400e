import { readFileSync } from 'node:fs';
import type { Definitions, DefinitionsFile } from './definitions.ts';

const entries = Object.entries;
let cached: Definitions | undefined;

/** Loads the R4 definitions from `r4.json`, once. */
export function loadDefinitions(): Definitions {
  cached ??= parseDefinitions(readFileSync(new URL('./r4.json', import.meta.url), 'utf8'));
  return cached;
}

function parseDefinitions(text: string): Definitions {
  const file = JSON.parse(text) as DefinitionsFile;
  return {
    fhirVersion: file.fhirVersion,
    primitives: new Map(entries(file.primitives).map(([name, regex]) => [name, regex ?? undefined])),
    types: new Map(entries(file.types)),
    constraints: new Map(entries(file.constraints).map(([key, constraint]) => [key, { key, ...constraint }])),
    valueSets: new Map(
      entries(file.valueSets).map(([url, systems]) => [
        url,
        new Map(entries(systems).map(([system, codes]) => [system, new Map(codes.map((code) => [code, undefined]))])),
      ]),
    ),
  };
}
