/** The JSON Schema of the registry file. parse-registry.ts checks what a schema cannot express. */
import { shownNamePattern } from '../cpis/shown-name.ts';
import { formKeyword } from '../json-schema/describe-problem.ts';

/** Form of a registered scope. src/auth/smart-scope.ts parses it; a test compares the two. */
export const registeredScopePattern = '^system/(\\*|[A-Z][A-Za-z]{1,63})\\.((?=[cruds])c?r?u?d?s?|read|write|\\*)$';

const name = {
  type: 'string',
  pattern: shownNamePattern,
  [formKeyword]: 'a name of 1 to 200 characters with a letter, single spaces, and no character that does not show',
};
const odsCode = { type: 'string', pattern: '^[A-Z0-9]{3,10}$', [formKeyword]: 'an ODS code: 3 to 10 of A-Z and 0-9' };
const telephone = {
  type: 'string',
  pattern: '^(?=(?:\\D*\\d){7,15}\\D*$)\\+?[0-9][0-9 ()-]{5,24}$',
  [formKeyword]: 'a telephone number: 7 to 15 digits, with spaces, hyphens or brackets',
};
const id = { type: 'string' };
const date = {
  type: 'string',
  pattern: '^\\d{4}-(0[1-9]|1[0-2])-(0[1-9]|[12]\\d|3[01])$',
  [formKeyword]: 'a date, YYYY-MM-DD',
};

const localAuthority = {
  type: 'object',
  additionalProperties: false,
  required: ['kind', 'name', 'odsCode', 'gssCode', 'dfeCode', 'officeHoursTelephone', 'emergencyDutyTeamTelephone'],
  properties: {
    kind: { const: 'local-authority' },
    id,
    name,
    odsCode,
    gssCode: { type: 'string', pattern: '^E\\d{8}$', [formKeyword]: 'a GSS code: E and eight digits' },
    dfeCode: { type: 'string', pattern: '^\\d{3}$', [formKeyword]: 'a DfE code: three digits' },
    officeHoursTelephone: telephone,
    emergencyDutyTeamTelephone: telephone,
    validFrom: date,
    validTo: date,
    replacedBy: { type: 'array', minItems: 1, maxItems: 20, uniqueItems: true, items: { type: 'string' } },
    referenceSystems: {
      type: 'array',
      minItems: 1,
      maxItems: 20,
      uniqueItems: true,
      items: {
        type: 'string',
        maxLength: 255,
        pattern: '^[A-Za-z][A-Za-z0-9+.-]*:[^\\s|]+$',
        [formKeyword]: 'a URL or URN of at most 255 characters',
      },
    },
  },
};

const otherOrganisation = {
  type: 'object',
  additionalProperties: false,
  required: ['kind', 'name', 'odsCode'],
  properties: { kind: { enum: ['care-provider', 'operator'] }, id, name, odsCode },
};

const client = {
  type: 'object',
  additionalProperties: false,
  required: ['clientId', 'organisation', 'role', 'jwks', 'scopes'],
  properties: {
    clientId: {
      type: 'string',
      pattern: '^[A-Za-z0-9][A-Za-z0-9._~:/-]{0,127}$',
      [formKeyword]: '1 to 128 letters, digits or . _ ~ : / -, starting with a letter or digit',
    },
    organisation: { type: 'string' },
    role: { enum: ['authority', 'care-provider', 'operator', 'auditor'] },
    jwks: {
      type: 'object',
      additionalProperties: false,
      required: ['keys'],
      properties: {
        keys: {
          type: 'array',
          minItems: 1,
          maxItems: 10,
          items: {
            type: 'object',
            required: ['kid', 'kty', 'alg'],
            properties: {
              kid: { type: 'string', pattern: '^[!-~]{1,128}$', [formKeyword]: '1 to 128 visible ASCII characters' },
              kty: { enum: ['RSA', 'EC'] },
              alg: { enum: ['RS384', 'ES384', 'RS512'] },
              use: { enum: ['sig'] },
            },
          },
        },
      },
    },
    scopes: {
      type: 'array',
      minItems: 1,
      maxItems: 50,
      uniqueItems: true,
      items: {
        type: 'string',
        pattern: registeredScopePattern,
        [formKeyword]: 'a SMART scope such as system/Flag.rs',
      },
    },
    issuers: {
      type: 'array',
      maxItems: 20,
      uniqueItems: true,
      items: { type: 'string', pattern: '^[!-~]{1,1000}$', [formKeyword]: 'the exact iss of a trusted issuer' },
      default: [],
    },
    certificateBoundTokens: { type: 'boolean', default: false },
    subscriptionOrigins: { type: 'array', maxItems: 20, uniqueItems: true, items: { type: 'string' }, default: [] },
    silentReads: { type: 'boolean', default: false },
    notificationMethod: { enum: ['PUT', 'POST'], default: 'PUT' },
    webhookSecrets: { type: 'array', maxItems: 2, uniqueItems: true, items: { type: 'string' }, default: [] },
  },
};

export const registrySchema = {
  type: 'object',
  additionalProperties: false,
  required: ['organisations', 'clients'],
  properties: {
    $schema: { type: 'string' },
    organisations: {
      type: 'array',
      minItems: 1,
      items: {
        type: 'object',
        required: ['kind'],
        discriminator: { propertyName: 'kind' },
        oneOf: [localAuthority, otherOrganisation],
      },
    },
    clients: { type: 'array', items: client },
  },
};
