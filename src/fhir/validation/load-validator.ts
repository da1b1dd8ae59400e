import { loadDefinitions } from '../definitions/load-definitions.ts';
import { loadProfiles, type Profiles } from '../definitions/load-profiles.ts';
import { buildValidator, type Validator } from './validator.ts';

interface LoadedValidator {
  readonly profiles: Profiles;
  readonly validator: Validator;
}

const loaded = new Map<string, LoadedValidator>();

/**
 * Returns the validator of R4's definitions and the profiles of a folder. Each folder is read once in a process,
 * because compiling its profiles takes about a second.
 */
export function loadValidator(profilesFolder: string): LoadedValidator {
  const known = loaded.get(profilesFolder);
  if (known !== undefined) return known;
  const definitions = loadDefinitions();
  const profiles = loadProfiles(profilesFolder, definitions);
  const made = { profiles, validator: buildValidator({ definitions, profiles }) };
  loaded.set(profilesFolder, made);
  return made;
}
