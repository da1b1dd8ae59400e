/** Puts the server together from its settings. Only this folder knows every adapter. */
import type { Logger } from 'pino';
import { Registry as MetricRegistry } from 'prom-client';
import { type Clock, systemClock } from '../clock/clock.ts';
import { replaceTls } from '../http/tls.ts';
import { parseCriteriaSearch } from '../interactions/search/allowed-parameters.ts';
import { separateStatements } from '../interactions/write/separate-statements.ts';
import { openPlanSurvey } from '../life-cycle/plan-survey.ts';
import { findFreePort } from '../net/find-free-port.ts';
import type { ParseSearch } from '../notification/subscriptions/criteria.ts';
import { RegistryError } from '../registry/parse-registry.ts';
import type { Registry } from '../registry/registry.ts';
import { resolvePublicBaseUrl, type Settings, SettingsError } from '../settings/settings.ts';
import type { Store } from '../store/store.ts';
import { buildInteractionPorts } from './build-ports.ts';
import { findMissingAuthorities } from './find-missing-authorities.ts';
import { loadFhirModel } from './load-fhir-model.ts';
import { openChildAlarms } from './open-child-alarms.ts';
import { openDelivery } from './open-delivery.ts';
import { openDemographics } from './open-demographics.ts';
import { openHeldNumbers } from './open-held-numbers.ts';
import { openHttp } from './open-http.ts';
import { completeIdentity, readIdentity } from './open-identity.ts';
import { openLifeCycle } from './open-life-cycle.ts';
import { openLookUpBudgetPort } from './open-look-up-budgets.ts';
import { openMeasuredStore } from './open-store.ts';
import { startSuccession } from './open-succession.ts';
import { readTls } from './read-tls.ts';
import { rejectListen } from './reject-listen.ts';
import { reloadSubscriptions } from './reload-subscriptions.ts';
import { buildTimeOrderedIds } from './time-ordered-id.ts';

/** A server that listens. */
export interface RunningServer {
  /** The FHIR base as clients know it. */
  readonly baseUrl: string;
  /** Where it listens, such as `http://127.0.0.1:8080`. */
  readonly origin: string;
  /** Reads the registry file again. Resolves to its problems; if there are any, the registry in force stays. */
  reloadRegistry(): Promise<readonly string[]>;
  /** Reads the signing keys again. Resolves to the problems; if there are any, the keys in force stay. */
  reloadSigningKeys(): Promise<readonly string[]>;
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
  const { registry } = found;
  const store = await openMeasuredStore(settings, { ...options, metrics, onError }, opened);
  const findMissing = (next: Registry) => findMissingAuthorities(store, next);
  const missing = await findMissing(registry.current);
  if (missing.length > 0) throw new RegistryError(missing);
  const identity = await completeIdentity(found, settings, store, logger);
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
  const lookUps = openLookUpBudgetPort({ settings, clock, metrics, logger }, opened);
  const ports = buildInteractionPorts({
    ...parts,
    lookUps,
    delivery,
    survey,
    demographics,
    numberChanged,
    childEvents,
  });
  const heldNumbers = openHeldNumbers({ settings, ports, clock, metrics, logger }, opened);
  openLifeCycle({ settings, survey, ports, clock, metrics, logger }, opened);
  const succession = startSuccession({ ports, clock, logger, onError });
  opened.defer(succession.stop);
  succession.announce();

  const app = openHttp({
    settings,
    baseUrl,
    identity,
    model,
    store,
    ports,
    delivery,
    metrics,
    logger,
    tls,
    succession,
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
      delivery.topics.websockets.recheck();
      void reloadSubscriptions({ subscriptions: delivery.subscriptions, store, logger });
      succession.announce();
      return [];
    },
    async reloadSigningKeys() {
      const problems = await identity.reloadSigningKeys();
      // Seals again what an older key sealed.
      if (problems.length === 0) void delivery.subscriptions.reload();
      return problems;
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
