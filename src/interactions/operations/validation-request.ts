import { membersOf } from '../../fhir/any-json.ts';
import { fault } from '../../fhir/fault.ts';
import { nameParameter } from '../../fhir/search/parameter-name.ts';
import type { FhirRequest } from '../port/interaction.ts';

/** https://hl7.org/fhir/R4/valueset-resource-validation-mode.html */
const modes = ['create', 'update', 'delete', 'profile'] as const;

/** A `$validate` request. */
export interface Validation {
  readonly mode: (typeof modes)[number];
  /** Canonical URL, without a version. */
  readonly profile: string | undefined;
  /** Set unless the mode is `delete` or `profile`. */
  readonly resource: unknown;
}

const valueNames: Readonly<Record<string, readonly string[]>> = {
  mode: ['valueCode', 'valueString'],
  profile: ['valueUri', 'valueCanonical', 'valueString'],
};

function malformed(diagnostics: string, expression: string): Error {
  return fault('structure', diagnostics, { expression: [expression] });
}

/** Collects the values of the three parameters from the URL and the body. */
function collect(request: FhirRequest): Map<string, unknown> {
  const found = new Map<string, unknown>();
  const put = (name: string, value: unknown, at: string): void => {
    if (found.has(name)) throw malformed('A parameter of $validate is given twice. Give it once.', at);
    found.set(name, value);
  };
  for (const [name, value] of request.query) {
    if (!Object.hasOwn(valueNames, name)) {
      throw fault('not-supported', '$validate takes only mode and profile in its URL.', {
        expression: [nameParameter(name)],
      });
    }
    put(name, value, name);
  }
  const { body } = request;
  const { resourceType, parameter = [] } = membersOf(body);
  if (resourceType !== 'Parameters') {
    if (body !== undefined) put('resource', body, 'resource');
    return found;
  }
  if (!Array.isArray(parameter)) throw malformed('Parameters.parameter must be a list.', 'Parameters.parameter');
  for (const [index, member] of parameter.entries()) {
    const at = `Parameters.parameter[${index}]`;
    const members = membersOf(member);
    const { name, resource } = members;
    if (name === 'resource' && resource !== undefined) {
      put(name, resource, at);
      continue;
    }
    const key = typeof name === 'string' && Object.hasOwn(valueNames, name) ? valueNames[name] : undefined;
    const value = key?.map((each) => members[each]).find((each) => typeof each === 'string');
    if (value === undefined)
      throw malformed('$validate takes only the parameters resource, mode (code) and profile (uri).', at);
    put(String(name), value, at);
  }
  return found;
}

/** Parses a `$validate` request: a Parameters resource, or a resource with the other parameters in the URL. */
export function parseValidation(request: FhirRequest): Validation {
  const found = collect(request);
  const given = found.get('mode');
  const mode =
    given === undefined ? (request.id === undefined ? 'create' : 'update') : modes.find((each) => each === given);
  if (mode === undefined) {
    throw fault('invalid', `The mode must be one of: ${modes.join(', ')}.`, {
      code: 'code-invalid',
      expression: ['mode'],
    });
  }
  const resource = found.get('resource');
  const isOnInstance = mode === 'delete' || mode === 'profile';
  if (isOnInstance && request.id === undefined) {
    throw fault('required', 'This mode needs a stored resource. Send the request to [type]/[id]/$validate.', {
      expression: ['mode'],
    });
  }
  if (!isOnInstance && resource === undefined) {
    throw fault(
      'required',
      'The request has no resource to validate. Send it as the body or as the parameter resource.',
      { expression: ['resource'] },
    );
  }
  if (mode === 'profile' && resource !== undefined) {
    throw fault('invalid', 'The mode profile validates the stored resource. Leave the resource out.', {
      expression: ['resource'],
    });
  }
  const profile = found.get('profile');
  return { mode, resource, profile: typeof profile === 'string' ? profile.split('|')[0] : undefined };
}
