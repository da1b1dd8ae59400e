/**
 * The JSON Schema of the settings: type, limits, default and unit of each. A test compares it with docs/settings.md.
 */
import { formKeyword } from '../json-schema/describe-problem.ts';

const url = { type: 'string', minLength: 1, maxLength: 1000 };
const file = { type: 'string', minLength: 1, maxLength: 1000 };
const milliseconds = { type: 'integer', 'x-unit': 'ms' };

export const settingsSchema = {
  type: 'object',
  additionalProperties: false,
  properties: {
    CPIS_BASE_PATH: {
      type: 'string',
      pattern: '^(/[A-Za-z0-9._~-]+)+$',
      [formKeyword]: 'a path such as /FHIR/R4, without a trailing slash',
      default: '/FHIR/R4',
    },
    CPIS_HOST: { type: 'string', minLength: 1, maxLength: 255, default: '127.0.0.1' },
    CPIS_PORT: { type: 'integer', minimum: 0, maximum: 65_535, default: 8080 },
    CPIS_PUBLIC_BASE_URL: url,
    CPIS_DATA_FOLDER: { ...file, default: 'data' },
    CPIS_MONGODB_URL: {
      type: 'string',
      maxLength: 2000,
      pattern: '^mongodb(\\+srv)?://[^/]+/[^/?#]+(\\?.*)?$',
      [formKeyword]: 'a MongoDB connection string that names a database, such as mongodb://host/cpis?replicaSet=rs0',
    },
    CPIS_MONGODB_TIMEOUT_MS: { ...milliseconds, minimum: 100, maximum: 60_000, default: 5_000 },
    CPIS_MONGODB_DEADLINE_MS: { ...milliseconds, minimum: 100, maximum: 240_000 },
    CPIS_DANGEROUSLY_ALLOW_UNPROTECTED_MONGODB: { type: 'boolean', default: false },
    CPIS_REGISTRY_FILE: { ...file, default: 'registry.json' },
    CPIS_SIGNING_KEY_FILE: file,
    CPIS_DANGEROUSLY_START_WITHOUT_SEALING_KEY: { type: 'boolean', default: false },
    CPIS_NOTIFICATION_KEYS_FILE: file,
    CPIS_TRUSTED_ISSUERS: { type: 'string', maxLength: 100_000 },
    CPIS_TRUSTED_ISSUERS_FILE: file,
    CPIS_BODY_LIMIT_BYTES: {
      type: 'integer',
      minimum: 1024,
      maximum: 268_435_456,
      default: 10_485_760,
      'x-unit': 'bytes',
    },
    CPIS_BODIES_IN_FLIGHT_BYTES: {
      type: 'integer',
      minimum: 1024,
      maximum: 4_294_967_296,
      default: 67_108_864,
      'x-unit': 'bytes',
    },
    CPIS_BODIES_IN_FLIGHT_PER_CLIENT_BYTES: {
      type: 'integer',
      minimum: 1024,
      maximum: 4_294_967_296,
      default: 20_971_520,
      'x-unit': 'bytes',
    },
    CPIS_REQUEST_TIMEOUT_MS: { ...milliseconds, minimum: 100, maximum: 300_000, default: 30_000 },
    CPIS_KEEP_ALIVE_TIMEOUT_MS: { ...milliseconds, minimum: 0, maximum: 3_600_000, default: 75_000 },
    CPIS_MAX_CONNECTIONS_PER_ADDRESS: {
      type: 'integer',
      minimum: 1,
      maximum: 4096,
      default: 512,
      'x-unit': 'connections',
    },
    CPIS_CLIENT_RATE: { type: 'integer', minimum: 1, maximum: 1_000_000, default: 500, 'x-unit': 'requests/s' },
    CPIS_CLIENT_BURST: { type: 'integer', minimum: 1, maximum: 1_000_000, default: 2_000, 'x-unit': 'requests' },
    CPIS_CLIENT_CONCURRENCY: { type: 'integer', minimum: 1, maximum: 1024, default: 256, 'x-unit': 'requests' },
    CPIS_PROFESSIONAL_LOOK_UPS_PER_MINUTE: { type: 'integer', minimum: 0, maximum: 1_000_000, default: 300 },
    CPIS_MAX_BUNDLE_ENTRIES: { type: 'integer', minimum: 1, maximum: 10_000, default: 1000, 'x-unit': 'entries' },
    CPIS_TOKEN_LIFETIME_S: { type: 'integer', minimum: 10, maximum: 300, default: 300, 'x-unit': 's' },
    CPIS_ENDED_PLAN_VISIBLE_DAYS: { type: 'integer', minimum: 0, maximum: 36_500, default: 365, 'x-unit': 'days' },
    CPIS_UNCONFIRMED_AFTER_DAYS: { type: 'integer', minimum: 1, maximum: 3650, default: 90, 'x-unit': 'days' },
    CPIS_SEARCH_DEFAULT_COUNT: { type: 'integer', minimum: 1, maximum: 1000, default: 50, 'x-unit': 'entries' },
    CPIS_SEARCH_MAX_COUNT: { type: 'integer', minimum: 1, maximum: 1000, default: 250, 'x-unit': 'entries' },
    CPIS_METRICS_TOKEN: {
      type: 'string',
      pattern: '^[A-Za-z0-9._~+/=-]{16,256}$',
      [formKeyword]: '16 to 256 letters, digits or . _ ~ + / = -',
    },
    CPIS_TRUSTED_PROXIES: {
      type: 'string',
      maxLength: 1000,
      pattern: '^[0-9A-Fa-f.:]+(/[0-9]{1,3})?(,[0-9A-Fa-f.:]+(/[0-9]{1,3})?)*$',
      [formKeyword]: 'addresses or CIDR blocks, separated by commas',
    },
    CPIS_FORWARDED_HEADER: { type: 'string', enum: ['x-forwarded-for', 'forwarded'] },
    CPIS_TLS_CERT_FILE: file,
    CPIS_TLS_KEY_FILE: file,
    CPIS_TLS_CLIENT_CA_FILE: file,
    CPIS_DANGEROUSLY_ALLOW_PLAIN_HTTP: { type: 'boolean', default: false },
    CPIS_DEMOGRAPHICS: { type: 'string', enum: ['none', 'pds'], default: 'none' },
    CPIS_PDS_URL: url,
    CPIS_PDS_TOKEN_URL: url,
    CPIS_PDS_CLIENT_ID: { type: 'string', pattern: '^[!-~]{1,200}$', [formKeyword]: '1 to 200 visible characters' },
    CPIS_PDS_KEY_FILE: file,
    CPIS_PDS_ODS_CODE: { type: 'string', pattern: '^[A-Z0-9]{1,12}$', [formKeyword]: 'an ODS code' },
    CPIS_PDS_RATE: { type: 'integer', minimum: 1, maximum: 1000, default: 5, 'x-unit': 'requests/s' },
    CPIS_PDS_TIMEOUT_MS: { ...milliseconds, minimum: 500, maximum: 60_000, default: 10_000 },
    CPIS_PDS_CACHE_AGE_S: { type: 'integer', minimum: 0, maximum: 3600, default: 300, 'x-unit': 's' },
    CPIS_LOG_LEVEL: {
      type: 'string',
      enum: ['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent'],
      default: 'info',
    },
    CPIS_DANGEROUSLY_ALLOW_LOOPBACK_ENDPOINTS: { type: 'boolean', default: false },
    CPIS_NOTIFICATION_TIMEOUT_MS: { ...milliseconds, minimum: 100, maximum: 120_000, default: 30_000 },
    CPIS_NOTIFICATION_LEASE_MARGIN_MS: { ...milliseconds, minimum: 500, maximum: 600_000, default: 60_000 },
    CPIS_NOTIFICATION_RATE_PER_AUTHORITY: {
      type: 'integer',
      minimum: 1,
      maximum: 100_000,
      default: 500,
      'x-unit': 'notifications/s',
    },
    CPIS_NOTIFICATION_TLS_FILE: file,
    CPIS_ALARM_WEBHOOK_URL: url,
    CPIS_NOTIFICATION_CONCURRENCY_PER_AUTHORITY: {
      type: 'integer',
      minimum: 1,
      maximum: 64,
      default: 4,
      'x-unit': 'requests',
    },
  },
} as const;

export type SettingName = keyof typeof settingsSchema.properties;

const trustedIssuerSchema = {
  type: 'object',
  additionalProperties: false,
  required: ['issuer', 'jwksUrl', 'algorithms', 'audience'],
  properties: {
    issuer: url,
    jwksUrl: url,
    algorithms: {
      type: 'array',
      minItems: 1,
      uniqueItems: true,
      items: {
        type: 'string',
        enum: ['RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512', 'ES256', 'ES384', 'ES512'],
      },
    },
    audience: url,
    tokenTypes: { type: 'array', minItems: 1, uniqueItems: true, items: { enum: ['at+jwt', 'JWT'] } },
  },
} as const;

export const trustedIssuersSchema = { type: 'array', maxItems: 20, items: trustedIssuerSchema } as const;
