/** Puts the server together from its settings. Only this folder knows every adapter. */
import { randomUUID } from 'node:crypto';
import type { Logger } from 'pino';
import { Registry as MetricRegistry } from 'prom-client';
import { buildJwks, buildSmartConfiguration } from '../auth/smart-configuration.ts';
import { issueToken } from '../auth/token-endpoint.ts';
import { type Clock, systemClock } from '../clock/clock.ts';
import { accessTable } from '../cpis/access-policy.ts';
import { buildMetricsAuthorization } from '../http/authorize-metrics.ts';
import { buildServer } from '../http/server.ts';
import type { ServedInteractions } from '../http/server-options.ts';
import { replaceTls } from '../http/tls.ts';
import { buildPerform } from '../interactions/perform.ts';
import { parseCriteriaSearch } from '../interactions/search/allowed-parameters.ts';
import { openPlanSurvey } from '../life-cycle/plan-survey.ts';
import { findFreePort } from '../net/find-free-port.ts';
import type { ParseSearch } from '../notification/subscriptions/criteria.ts';
import { RegistryError } from '../registry/parse-registry.ts';
import type { Registry } from '../registry/registry.ts';
import { resolvePublicBaseUrl, type Settings, SettingsError } from '../settings/settings.ts';
import type { Store } from '../store/store.ts';
import { buildRefusalAudit } from './audit-refusal.ts';
import { buildInteractionPorts } from './build-ports.ts';
import { findMissingAuthorities } from './find-missing-authorities.ts';
import { loadFhirModel } from './load-fhir-model.ts';
import { openChildAlarms } from './open-child-alarms.ts';
import { openDelivery } from './open-delivery.ts';
import { openDemographics } from './open-demographics.ts';
import { openHeldNumbers } from './open-held-numbers.ts';
import { completeIdentity, readIdentity } from './open-identity.ts';
import { openLifeCycle } from './open-life-cycle.ts';
import { openMeasuredStore } from './open-store.ts';
import { readTls } from './read-tls.ts';
import { rejectListen } from './reject-listen.ts';
import { separateStatements } from './separate-statements.ts';
import { startSuccession } from './succession.ts';
import { buildTimeOrderedIds } from './time-ordered-id.ts';

/** Maximum values in a JSON body for each entry that a Bundle may have. A full Patient has about 60. */
const jsonValuesPerEntry = 100;
const minJsonValues = 100_000;

/** A server that listens. */
export interface RunningServer {
  /** The FHIR base as clients know it. */
  readonly baseUrl: string;
  /** Where it listens, such as `http://127.0.0.1:8080`. */
  readonly origin: string;
  /** Reads the registry file again. Resolves to its problems; if there are any, the registry in force stays. */
  reloadRegistry(): Promise<readonly string[]>;
  /** Reads the TLS files again for new connections. Returns their problems; if there are any, those in force stay. */
  reloadTls(): readonly string[];
  close(): Promise<void>;
}

export interface OpenServerOptions {
  readonly logger: Logger;
  /** Called when the store was lost to an I/O error: the process has to end. */
  readonly onFatal: (error: Error) => void;
  /** Whether to wait for a database that cannot be reached yet; otherwise that is a StoreStartError. */
  readonly waitForStore?: boolean;
  /** Wraps the store so that a test can observe its calls or replace parts. */
  readonly aroundStore?: (store: Store) => Store;
  /** The time of everything but access tokens, so that a test can move it. */
  readonly clock?: Clock;
}

/**
 * Opens the store, starts delivery and listens. Rejects if a setting, the registry, the store or the port does not allow
 * it; whatever was opened until then is closed. `close` closes the parts in
 * the reverse of the order in which they were opened.
 */
export async function openServer(settings: Settings, options: OpenServerOptions): Promise<RunningServer> {
  const { logger, clock = systemClock } = options;
  await using opened = new AsyncDisposableStack();
  const { host } = settings;
  const port = settings.port || (await findFreePort(host).catch((error) => rejectListen(error, host, 0)));
  const baseUrl = resolvePublicBaseUrl(settings, port);
  const metrics = new MetricRegistry();
  const onError = (error: unknown): void => logger.error({ err: error }, 'background work failed and will be retried');

  const tls = settings.tls && readTls(settings.tls);
  const model = loadFhirModel(baseUrl);
  const found = await readIdentity(settings, baseUrl, systemClock.now);
  const { registry, notificationKeys, urls } = found;
  const store = await openMeasuredStore(settings, { ...options, metrics, onError }, opened);
  const findMissing = (next: Registry) => findMissingAuthorities(store, next);
  const missing = await findMissing(registry.current);
  if (missing.length > 0) throw new RegistryError(missing);
  const identity = await completeIdentity(found, settings, store, logger);
  const { signingKey, verifier } = identity;
  const separated = await separateStatements({ store, extract: model.extract, clock: clock.now });
  if (separated > 0) logger.info({ patients: separated }, 'each authority now has its own Patients (ADR 0029)');

  const newAuditId = buildTimeOrderedIds();
  const parseCriteria: ParseSearch = (type, params) =>
    parseCriteriaSearch(type, params, {
      searchDefinitions: model.searchDefinitions,
      baseUrl,
      registry: () => registry.current,
    });
  const parts = { settings, baseUrl, store, model, identity, parseCriteria, clock, newAuditId, metrics, logger };
  const delivery = await openDelivery({ ...parts, onError }, opened);
  const survey = openPlanSurvey();
  const childEvents = openChildAlarms(parts, opened);
  // The rate of the demographics service is one of real time.
  const demographics = openDemographics({ settings, store, clock: systemClock, metrics, logger }, opened);
  const numberChanged = (nhsNumber: string): void => heldNumbers?.traceSoon(nhsNumber);
  const ports = buildInteractionPorts({ ...parts, delivery, survey, demographics, numberChanged, childEvents });
  const heldNumbers = openHeldNumbers({ settings, ports, clock, metrics, logger }, opened);
  openLifeCycle({ settings, survey, ports, clock, metrics, logger }, opened);
  const succession = startSuccession({ ports, clock, logger, onError });
  opened.defer(succession.stop);
  succession.announce();

  const smartConfiguration = buildSmartConfiguration(urls, settings.tls?.clientCaFile !== undefined);
  const jwks = buildJwks(signingKey);
  const app = buildServer({
    basePath: settings.basePath,
    publicBaseUrl: baseUrl,
    interactions: listServed(),
    perform: buildPerform(ports),
    authenticate: (authorization, certificate) =>
      verifier.peek(authorization, certificate) ?? verifier.verify(authorization, certificate),
    issueToken: (form, certificate) =>
      issueToken(form, {
        nowMs: Date.now(),
        registry: registry.current,
        store,
        signingKey,
        urls,
        lifetimeS: settings.tokenLifetimeS,
        certificate,
      }),
    smartConfiguration: () => smartConfiguration,
    jwks: () => jwks,
    notificationKeys: () => notificationKeys.publicJwks,
    acceptSocket: delivery.topics.websockets.accept,
    capabilityStatement: model.capabilityStatement,
    refusalAudit: buildRefusalAudit(ports),
    isReady: () => store.ready,
    notes: succession.notes,
    metrics,
    authorizeMetrics: buildMetricsAuthorization(settings.metricsToken, verifier.verify),
    logger,
    newId: randomUUID,
    tls,
    forwarding: { trustedProxies: settings.trustedProxies, header: settings.forwardedHeader },
    limits: {
      bodyLimitBytes: settings.bodyLimitBytes,
      bodiesInFlightBytes: settings.bodiesInFlightBytes,
      bodiesInFlightPerClientBytes: settings.bodiesInFlightPerClientBytes,
      maxJsonValues: Math.max(minJsonValues, settings.maxBundleEntries * jsonValuesPerEntry),
      requestTimeoutMs: settings.requestTimeoutMs,
      keepAliveTimeoutMs: settings.keepAliveTimeoutMs,
      maxConnectionsPerAddress: settings.maxConnectionsPerAddress,
      clientPerSecond: settings.clientRate,
      clientBurst: settings.clientBurst,
      clientConcurrent: settings.clientConcurrency,
    },
  });
  opened.defer(() => app.close());
  const origin = await app.listen({ host, port }).catch((error) => rejectListen(error, host, port));

  const running = opened.move();
  return {
    baseUrl,
    origin,
    async reloadRegistry() {
      const problems = await registry.reload(findMissing);
      if (problems.length > 0) return problems;
      void delivery.subscriptions.reload();
      succession.announce();
      return [];
    },
    reloadTls() {
      if (settings.tls === undefined) return [];
      try {
        replaceTls(app.server, readTls(settings.tls));
        return [];
      } catch (error) {
        if (error instanceof SettingsError) return error.problems;
        throw error;
      }
    },
    close: () => running.disposeAsync(),
  };
}

/** Returns the interactions that the access table gives to any role; nothing else has a route. */
function listServed(): ServedInteractions {
  const types = Object.entries(accessTable).map(([type, row]) => [type, [...new Set(Object.values(row).flat())]]);
  return { types: Object.fromEntries(types), system: ['batch', 'transaction', 'history-system'] };
}
