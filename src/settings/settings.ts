/** Reads the settings from the environment. docs/settings.md lists them. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Ajv } from 'ajv';
import type { TrustedIssuer } from '../auth/access-token.ts';
import { describeProblem, formKeyword } from '../json-schema/describe-problem.ts';
import { type EndpointTlsMap, readEndpointTls } from '../notification/outbound-http/endpoint-tls.ts';
import { checkUrl } from './check-url.ts';
import { type PdsSettings, readPdsSettings } from './demographics.ts';
import { checkListener, type ListenerSettings, type TlsFiles } from './listener.ts';
import { type SettingName, settingsSchema } from './settings-schema.ts';
import { readTrustedIssuers } from './trusted-issuers.ts';

export interface Settings extends ListenerSettings {
  readonly dataFolder: string;
  /** Undefined for the embedded store in the data folder. */
  readonly mongodb: MongodbSettings | undefined;
  readonly registryFile: string;
  readonly signingKeyFile: string;
  /** Starts although the headers of a Subscription are sealed with a key that is lost. */
  readonly startWithoutSealingKey: boolean;
  readonly notificationKeysFile: string;
  readonly trustedIssuers: readonly TrustedIssuer[];
  readonly bodyLimitBytes: number;
  readonly bodiesInFlightBytes: number;
  readonly bodiesInFlightPerClientBytes: number;
  readonly requestTimeoutMs: number;
  readonly keepAliveTimeoutMs: number;
  readonly maxConnectionsPerAddress: number;
  readonly clientRate: number;
  readonly clientBurst: number;
  readonly clientConcurrency: number;
  /** 0: no limit. */
  readonly professionalLookUpsPerMinute: number;
  readonly maxBundleEntries: number;
  readonly tokenLifetimeS: number;
  readonly endedPlanVisibleDays: number;
  readonly unconfirmedAfterDays: number;
  readonly searchDefaultCount: number;
  readonly searchMaxCount: number;
  readonly metricsToken: string | undefined;
  readonly logLevel: string;
  readonly allowLoopbackEndpoints: boolean;
  readonly notificationTimeoutMs: number;
  readonly notificationLeaseMarginMs: number;
  readonly notificationConcurrencyPerAuthority: number;
  readonly notificationRatePerAuthority: number;
  readonly notificationTls: EndpointTlsMap;
  readonly alarmWebhookUrl: string | undefined;
  /** Undefined if there is no demographics service. */
  readonly pds: PdsSettings | undefined;
}

export interface MongodbSettings {
  /** May hold a password, so it must never be logged. */
  readonly url: string;
  readonly timeoutMs: number;
  /** Undefined: as the store has it. */
  readonly deadlineMs?: number | undefined;
  readonly allowUnprotected?: boolean;
}

/** Lists every problem of the settings, without their values. The command line prints it and exits with 2. */
export class SettingsError extends Error {
  readonly problems: readonly string[];

  constructor(problems: readonly string[]) {
    super(`The settings are not valid:\n${problems.map((problem) => `- ${problem}`).join('\n')}`);
    this.name = 'SettingsError';
    this.problems = problems;
  }
}

const ajv = new Ajv({ allErrors: true, useDefaults: true, verbose: true });
ajv.addVocabulary([formKeyword, 'x-unit']);
const validateSettings = ajv.compile<Readonly<Record<SettingName, unknown>>>(settingsSchema);
const settingNames = Object.keys(settingsSchema.properties);

/**
 * Reads every `CPIS_*` variable of `env` and ignores all others. `readText` reads the files that settings name. Throws
 * SettingsError.
 */
export function loadSettings(
  env: Readonly<Record<string, string | undefined>>,
  readText: (path: string) => string = (path) => readFileSync(path, 'utf8'),
): Settings {
  const problems: string[] = [];
  const values: Record<string, unknown> = {};
  for (const [name, text] of Object.entries(env)) {
    if (!name.startsWith('CPIS_') || text === undefined) continue;
    if (text === '') problems.push(`${name}: is empty; set a value or remove it`);
    else values[name] = coerce(name, text);
  }
  const given = new Set(Object.keys(values));
  if (!validateSettings(values)) {
    problems.push(...(validateSettings.errors ?? []).map((error) => describeProblem(error, settingNames)));
  }
  const text = (name: SettingName): string | undefined => stringOf(values[name]);
  const number = (name: SettingName): number => (typeof values[name] === 'number' ? values[name] : Number.NaN);
  const allowLoopbackEndpoints = values['CPIS_DANGEROUSLY_ALLOW_LOOPBACK_ENDPOINTS'] === true;
  const settings: Settings = {
    basePath: text('CPIS_BASE_PATH') ?? '',
    host: text('CPIS_HOST') ?? '',
    port: number('CPIS_PORT'),
    publicBaseUrl: text('CPIS_PUBLIC_BASE_URL'),
    dataFolder: text('CPIS_DATA_FOLDER') ?? '',
    mongodb: mongodbOf(text('CPIS_MONGODB_URL'), values),
    registryFile: text('CPIS_REGISTRY_FILE') ?? '',
    signingKeyFile: text('CPIS_SIGNING_KEY_FILE') ?? join(text('CPIS_DATA_FOLDER') ?? '', 'signing-key.json'),
    startWithoutSealingKey: values['CPIS_DANGEROUSLY_START_WITHOUT_SEALING_KEY'] === true,
    notificationKeysFile:
      text('CPIS_NOTIFICATION_KEYS_FILE') ?? join(text('CPIS_DATA_FOLDER') ?? '', 'notification-keys.json'),
    trustedIssuers: readTrustedIssuers(text, readText, allowLoopbackEndpoints, problems),
    bodyLimitBytes: number('CPIS_BODY_LIMIT_BYTES'),
    bodiesInFlightBytes: number('CPIS_BODIES_IN_FLIGHT_BYTES'),
    bodiesInFlightPerClientBytes: number('CPIS_BODIES_IN_FLIGHT_PER_CLIENT_BYTES'),
    requestTimeoutMs: number('CPIS_REQUEST_TIMEOUT_MS'),
    keepAliveTimeoutMs: number('CPIS_KEEP_ALIVE_TIMEOUT_MS'),
    maxConnectionsPerAddress: number('CPIS_MAX_CONNECTIONS_PER_ADDRESS'),
    clientRate: number('CPIS_CLIENT_RATE'),
    clientBurst: number('CPIS_CLIENT_BURST'),
    clientConcurrency: number('CPIS_CLIENT_CONCURRENCY'),
    professionalLookUpsPerMinute: number('CPIS_PROFESSIONAL_LOOK_UPS_PER_MINUTE'),
    maxBundleEntries: number('CPIS_MAX_BUNDLE_ENTRIES'),
    tokenLifetimeS: number('CPIS_TOKEN_LIFETIME_S'),
    endedPlanVisibleDays: number('CPIS_ENDED_PLAN_VISIBLE_DAYS'),
    unconfirmedAfterDays: number('CPIS_UNCONFIRMED_AFTER_DAYS'),
    searchDefaultCount: number('CPIS_SEARCH_DEFAULT_COUNT'),
    searchMaxCount: number('CPIS_SEARCH_MAX_COUNT'),
    metricsToken: text('CPIS_METRICS_TOKEN'),
    trustedProxies: text('CPIS_TRUSTED_PROXIES')?.split(',') ?? [],
    forwardedHeader: values['CPIS_FORWARDED_HEADER'] as Settings['forwardedHeader'],
    tls: tlsOf(text, problems),
    allowPlainHttp: values['CPIS_DANGEROUSLY_ALLOW_PLAIN_HTTP'] === true,
    logLevel: text('CPIS_LOG_LEVEL') ?? '',
    allowLoopbackEndpoints,
    notificationTimeoutMs: number('CPIS_NOTIFICATION_TIMEOUT_MS'),
    notificationLeaseMarginMs: number('CPIS_NOTIFICATION_LEASE_MARGIN_MS'),
    notificationConcurrencyPerAuthority: number('CPIS_NOTIFICATION_CONCURRENCY_PER_AUTHORITY'),
    notificationRatePerAuthority: number('CPIS_NOTIFICATION_RATE_PER_AUTHORITY'),
    notificationTls: readTls(text('CPIS_NOTIFICATION_TLS_FILE'), readText, problems),
    alarmWebhookUrl: text('CPIS_ALARM_WEBHOOK_URL'),
    pds: readPdsSettings(values, given, readText, allowLoopbackEndpoints, problems),
  };
  problems.push(...checkTogether(settings));
  if (problems.length > 0) throw new SettingsError(problems);
  return settings;
}

/** Returns the absolute URL of the FHIR base as clients see it, without a trailing slash. */
export function resolvePublicBaseUrl(settings: Settings, boundPort: number): string {
  const host = settings.host.includes(':') ? `[${settings.host}]` : settings.host;
  const scheme = settings.tls === undefined ? 'http' : 'https';
  return settings.publicBaseUrl ?? `${scheme}://${host}:${boundPort}${settings.basePath}`;
}

/** Converts text to the type of the setting. Leaves malformed text as it is, so that the schema rejects it. */
function coerce(name: string, text: string): unknown {
  const schema: { readonly type: string } | undefined = Object.hasOwn(settingsSchema.properties, name)
    ? settingsSchema.properties[name as SettingName]
    : undefined;
  if (schema?.type === 'integer') return /^\d{1,15}$/.test(text) ? Number(text) : text;
  if (schema?.type === 'boolean') return text === 'true' ? true : text === 'false' ? false : text;
  return text;
}

function mongodbOf(url: string | undefined, values: Readonly<Record<string, unknown>>): MongodbSettings | undefined {
  if (url === undefined) return undefined;
  return {
    url,
    timeoutMs: Number(values['CPIS_MONGODB_TIMEOUT_MS']),
    deadlineMs: values['CPIS_MONGODB_DEADLINE_MS'] as number | undefined,
    allowUnprotected: values['CPIS_DANGEROUSLY_ALLOW_UNPROTECTED_MONGODB'] === true,
  };
}

function tlsOf(text: (name: SettingName) => string | undefined, problems: string[]): TlsFiles | undefined {
  const certFile = text('CPIS_TLS_CERT_FILE');
  const keyFile = text('CPIS_TLS_KEY_FILE');
  const clientCaFile = text('CPIS_TLS_CLIENT_CA_FILE');
  if (certFile !== undefined && keyFile !== undefined) return { certFile, keyFile, clientCaFile };
  if (certFile !== undefined || keyFile !== undefined) {
    problems.push('CPIS_TLS_CERT_FILE and CPIS_TLS_KEY_FILE: set both or none of them');
  } else if (clientCaFile !== undefined) {
    problems.push('CPIS_TLS_CLIENT_CA_FILE: needs CPIS_TLS_CERT_FILE and CPIS_TLS_KEY_FILE');
  }
  return undefined;
}

function stringOf(value: unknown): string | undefined {
  return typeof value === 'string' ? value : undefined;
}

function readTls(path: string | undefined, readText: (path: string) => string, problems: string[]): EndpointTlsMap {
  if (path === undefined) return new Map();
  const read = readEndpointTls(path, readText);
  problems.push(...read.problems.map((problem) => `CPIS_NOTIFICATION_TLS_FILE: ${problem}`));
  return read.tls;
}

function checkTogether(settings: Settings): string[] {
  const problems: string[] = [];
  const webhook = settings.alarmWebhookUrl === undefined ? undefined : checkUrl(settings.alarmWebhookUrl, true);
  if (webhook !== undefined) problems.push(`CPIS_ALARM_WEBHOOK_URL: ${webhook}`);
  if (settings.searchDefaultCount > settings.searchMaxCount) {
    problems.push('CPIS_SEARCH_DEFAULT_COUNT: must not be greater than CPIS_SEARCH_MAX_COUNT');
  }
  return [...problems, ...checkListener(settings)];
}
