import { readFileSync, statSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { definitionTypes } from '../cpis/access-policy.ts';
import { loadDefinitions } from '../fhir/definitions/load-definitions.ts';
import { readConformance } from '../fhir/definitions/read-conformance.ts';
import { loadSearchParameters } from '../fhir/definitions/search-parameters.ts';
import { parsePatch } from '../fhir/patch/parse-patch.ts';
import { extractIndexValues } from '../fhir/search/extract-index-values.ts';
import { buildShapeResource } from '../fhir/shape/shape-resource.ts';
import { loadValidator } from '../fhir/validation/load-validator.ts';
import type { Validator } from '../fhir/validation/validator.ts';
import { buildDefinitionDirectories, type Definition } from '../interactions/directory/definition-directories.ts';
import type { InteractionPorts } from '../interactions/port/ports.ts';
import { allowedParameters } from '../interactions/search/allowed-parameters.ts';
import { websocketUrl } from './websocket-url.ts';

/** FHIR R4 with this server's profiles: the parts of the interaction ports that need neither store nor registry. */
export type FhirModel = Pick<
  InteractionPorts,
  | 'searchDefinitions'
  | 'validate'
  | 'validateBundle'
  | 'prepareValidation'
  | 'validateBy'
  | 'parsePatch'
  | 'extract'
  | 'shape'
  | 'definitions'
> & {
  /** The CapabilityStatement, as JSON text with this server's base URL. */
  readonly capabilityStatement: string;
};

const root = new URL('../../', import.meta.url);
/** Types with a profile that clients submit. */
const submittedTypes = ['Bundle', 'Flag', 'Patient', 'Subscription'];
const profileOf = (type: string): string =>
  `https://cpis-fhir.example.org/fhir/StructureDefinition/cpis-${type.toLowerCase()}`;

/** Reads definitions, profiles and the CapabilityStatement. Throws if one of the project's own files is damaged. */
export function loadFhirModel(baseUrl: string): FhirModel {
  const definitions = loadDefinitions();
  const profilesFolder = fileURLToPath(new URL('profiles', root));
  const { profiles, validator } = loadValidator(profilesFolder);
  const searchDefinitions = loadSearchParameters(profilesFolder);
  const capabilityStatement = readCapabilityStatement(baseUrl);
  const extract: FhirModel['extract'] = (resource) => {
    const typed = resource as { resourceType: string };
    const params = allowedParameters[typed.resourceType]?.parameters ?? new Set<string>();
    return extractIndexValues(typed, searchDefinitions, { baseUrl, params });
  };
  const conformance = [...readConformance(profilesFolder), capabilityStatement];
  return {
    searchDefinitions,
    validate: (resource, type) => validator.validate(resource, profileOf(type)),
    validateBundle: (bundle) => validator.validateInSteps(bundle, profileOf('Bundle')),
    prepareValidation: prepareOnce(validator),
    validateBy(resource, type, profile) {
      if (profile === `http://hl7.org/fhir/StructureDefinition/${type}`) return validator.validate(resource, type);
      return profiles.profiles.get(profile)?.type === type ? validator.validate(resource, profile) : undefined;
    },
    parsePatch: (document, kept) => parsePatch(document, kept, definitions),
    extract,
    shape: buildShapeResource(definitions),
    definitions: buildDefinitionDirectories(definitionTypes, conformance, extract),
    capabilityStatement: JSON.stringify(capabilityStatement.resource),
  };
}

/** Returns capability-statement.json with this server's base URL. */
function readCapabilityStatement(baseUrl: string): Definition {
  const file = new URL('capability-statement.json', root);
  const statement = JSON.parse(readFileSync(file, 'utf8'));
  if (statement.resourceType !== 'CapabilityStatement') throw new Error('capability-statement.json is damaged');
  const [rest] = statement.rest;
  const extension = [{ ...rest.extension[0], valueUri: websocketUrl(baseUrl) }];
  return {
    resource: {
      ...statement,
      implementation: { ...statement.implementation, url: baseUrl },
      rest: [{ ...rest, extension }],
    },
    lastUpdatedMs: Math.floor(statSync(file).mtimeMs),
  };
}

/** Returns the steps that compile all that a client may have validated, until they have run to the end once. */
function prepareOnce({ prepare }: Validator): FhirModel['prepareValidation'] {
  let isPrepared = false;
  return function* () {
    if (isPrepared) return;
    for (const type of submittedTypes) yield* prepare(profileOf(type));
    isPrepared = true;
  };
}
