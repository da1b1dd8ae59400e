/** `node bench/measure-validation.ts`: measures the validation of a Flag by the profile for submissions. */
import { fileURLToPath } from 'node:url';
import { loadDefinitions } from '../src/fhir/definitions/load-definitions.ts';
import { loadProfiles } from '../src/fhir/definitions/load-profiles.ts';
import { buildValidator } from '../src/fhir/validation/validator.ts';

const flag = {
  resourceType: 'Flag',
  identifier: [{ system: 'https://la.example.org/plan', value: 'CP-2025/0042' }],
  status: 'active',
  category: [{ coding: [{ system: 'http://terminology.hl7.org/CodeSystem/flag-category', code: 'safety' }] }],
  code: { coding: [{ system: 'http://snomed.info/sct', code: '342191000000101' }] },
  subject: { reference: 'Patient/9990000018' },
  period: { start: '2025-01-31' },
  author: { reference: 'Organization/E08000035' },
};
const profile = 'https://cpis-fhir.example.org/fhir/StructureDefinition/cpis-flag';
const rounds = 20;
const perRound = 2_000;

const definitions = loadDefinitions();
const profiles = loadProfiles(fileURLToPath(new URL('../profiles', import.meta.url)), definitions);
const validator = buildValidator({ definitions, profiles });
if (validator.validate(flag, profile).length > 0) throw new Error('the Flag is not valid');

const microseconds: number[] = [];
for (let round = 0; round < rounds; round++) {
  const startMs = performance.now();
  for (let run = 0; run < perRound; run++) validator.validate(flag, profile);
  microseconds.push(((performance.now() - startMs) / perRound) * 1000);
}
const [first = 0] = microseconds;
const median = microseconds.toSorted((a, b) => a - b)[rounds / 2] ?? 0;
process.stdout.write(
  `Flag, valid: ${median.toFixed(1)} µs (median of ${rounds} rounds of ${perRound}; the first ${first.toFixed(1)} µs)\n`,
);
