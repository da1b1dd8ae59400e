/** The only file that knows every adapter: it puts the server together from its settings. */
import { randomUUID, timingSafeEqual } from 'node:crypto';
import { readFileSync, statSync } from 'node:fs';
import { createServer } from 'node:net';
import { fileURLToPath } from 'node:url';
import type { Logger } from 'pino';
import { Histogram, Registry as MetricRegistry } from 'prom-client';
import { buildServerUrls } from '../auth/server-urls.ts';
import { openSigningKey } from '../auth/signing-key.ts';
import { buildJwks, buildSmartConfiguration } from '../auth/smart-configuration.ts';
import { intersectScopes } from '../auth/smart-scope.ts';
import { issueToken } from '../auth/token-endpoint.ts';
import { buildTokenVerifier } from '../auth/verify-token.ts';
import { systemClock, systemTime } from '../clock/clock.ts';
import { accessTable, definitionTypes } from '../cpis/access-policy.ts';
import { clientLabel, clientOf, ownerLabel, ownerOf } from '../cpis/labels.ts';
import { recordOwnChange } from '../cpis/own-change.ts';
import { renderForAuthority } from '../cpis/shared-event.ts';
import { loadDefinitions } from '../fhir/definitions/load-definitions.ts';
import { loadProfiles } from '../fhir/definitions/load-profiles.ts';
import { readConformance } from '../fhir/definitions/read-conformance.ts';
import { loadSearchParameters } from '../fhir/definitions/search-parameters.ts';
import { fault } from '../fhir/fault.ts';
import { parsePatch } from '../fhir/patch/parse-patch.ts';
import { extractIndexValues } from '../fhir/search/extract-index-values.ts';
import { buildShapeResource } from '../fhir/shape/shape-resource.ts';
import { buildValidator } from '../fhir/validation/validator.ts';
import { buildServer } from '../http/server.ts';
import type { RefusedRequest, ServedInteractions } from '../http/server-options.ts';
import { recordRefusal } from '../interactions/audit/record-access.ts';
import { buildDefinitionDirectories, type Definition } from '../interactions/directory/definition-directories.ts';
import { buildOrganizationDirectory } from '../interactions/directory/organization-directory.ts';
import { buildPerform } from '../interactions/perform.ts';
import type { InteractionPorts } from '../interactions/port/ports.ts';
import { parseCriteriaSearch, searchSurfaces } from '../interactions/search/allowed-parameters.ts';
import { startDeliveryMonitor } from '../notification/alarms/delivery-monitor.ts';
import { renderBindingToken } from '../notification/channels/binding-token.ts';
import { openTopicDelivery } from '../notification/channels/topic-delivery.ts';
import { defaultDispatcherLimits, startDispatcher } from '../notification/delivery/dispatcher.ts';
import { openEventNumberRegression } from '../notification/events/event-number-regression.ts';
import { openNotificationKeys } from '../notification/outbound-http/notification-keys.ts';
import { buildHostResolver } from '../notification/outbound-http/resolve-host.ts';
import { openSender } from '../notification/outbound-http/sender.ts';
import { buildSignNotification } from '../notification/outbound-http/sign-notification.ts';
import { protectSubscription, revealSubscription } from '../notification/subscriptions/channel-secrets.ts';
import { selectByCriteria } from '../notification/subscriptions/select-event.ts';
import { checkSubscription, redactSubscription } from '../notification/subscriptions/subscription.ts';
import { openSubscriptions } from '../notification/subscriptions/subscriptions.ts';
import { openRegistry } from '../registry/open-registry.ts';
import { resolvePublicBaseUrl, type Settings } from '../settings/settings.ts';
import type { Store } from '../store/store.ts';
import { timeCommits } from '../store/time-commits.ts';
import { openStore } from './open-store.ts';
import { buildTimeOrderedIds } from './time-ordered-id.ts';

/** A server that listens. */
export interface RunningServer {
  /** The FHIR base as clients know it. */
  readonly baseUrl: string;
  /** Where it listens, such as `http://127.0.0.1:8080`. */
  readonly origin: string;
  /** Reads the registry file again; problems: the old one stays. */
  reloadRegistry(): readonly string[];
  close(): Promise<void>;
}

export interface ComposeOptions {
  readonly logger: Logger;
  /** The store was lost to an I/O error: the process has to end. */
  readonly onFatal: (error: Error) => void;
  /** Whether to wait for a database that cannot be reached yet; else that is a StoreStartError. */
  readonly waitForStore?: boolean;
  /** Stands between the server and its store, for whoever wants to see what is asked of it. */
  readonly aroundStore?: (store: Store) => Store;
}

const bindingTokenLifetimeMs = 60_000;
const websocketUrl = (baseUrl: string): string => `${baseUrl.replace(/^http/, 'ws')}/$websocket`;
const root = new URL('../../', import.meta.url);
const profileOf = (type: string): string =>
  `https://cpis-fhir.example.org/fhir/StructureDefinition/cpis-${type.toLowerCase()}`;

/** A port that is free now, so that the public base URL is known before the server is built. */
async function findFreePort(host: string): Promise<number> {
  const probe = createServer();
  await new Promise<void>((resolve, reject) => {
    probe.once('error', reject).listen(0, host, resolve);
  });
  const address = probe.address();
  await new Promise((resolve) => probe.close(resolve));
  if (address === null || typeof address === 'string') throw new Error('no free port was found');
  return address.port;
}

/** Which (type, interaction) pairs have a route at all: those that the access table gives to any role. */
function listServed(): ServedInteractions {
  const types = Object.entries(accessTable).map(([type, row]) => [type, [...new Set(Object.values(row).flat())]]);
  return { types: Object.fromEntries(types), system: ['batch', 'transaction', 'history-system'] };
}

/** Opens the store, starts delivery and listens. Throws when a setting, the registry or the store does not allow it. */
export async function openServer(settings: Settings, options: ComposeOptions): Promise<RunningServer> {
  const { logger, onFatal } = options;
  // One clock for what is recorded, due and leased.
  const clock = systemClock.now;
  const port = settings.port === 0 ? await findFreePort(settings.host) : settings.port;
  const baseUrl = resolvePublicBaseUrl(settings, port);
  const onError = (error: unknown): void => logger.error({ err: error }, 'background work failed and goes on');
  const metrics = new MetricRegistry();
  const commitSeconds = new Histogram({
    name: 'cpis_store_commit_seconds',
    help: 'Time from handing a unit to the store until it is durable',
    buckets: [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1, 5],
    registers: [metrics],
  });
  const batchOperations = new Histogram({
    name: 'cpis_store_batch_operations',
    help: 'Operations made durable together, by one fsync',
    buckets: [1, 2, 4, 8, 16, 32, 64, 128, 256, 512],
    registers: [metrics],
  });

  const registry = openRegistry(settings.registryFile, {
    nowMs: clock,
    allowLoopback: settings.allowLoopbackEndpoints,
  });
  const signingKey = await openSigningKey(settings.signingKeyFile);
  const notificationKeys = await openNotificationKeys(settings.notificationKeysFile);
  const definitions = loadDefinitions();
  const profilesFolder = fileURLToPath(new URL('profiles', root));
  const profiles = loadProfiles(profilesFolder, definitions);
  const validator = buildValidator({ definitions, profiles });
  const searchDefinitions = loadSearchParameters(profilesFolder);
  const capabilityStatement = readCapabilityStatement(baseUrl);
  const extract: InteractionPorts['extract'] = (resource) => {
    const typed = resource as { resourceType: string };
    const params = searchSurfaces[typed.resourceType]?.parameters ?? new Set<string>();
    return extractIndexValues(typed, searchDefinitions, { baseUrl, params });
  };

  const opened = await openStore(settings, {
    logger,
    onFatal,
    onBatch: (operations) => batchOperations.observe(operations),
    onError,
    wait: options.waitForStore ?? false,
  });
  const store = timeCommits(options.aroundStore?.(opened.store) ?? opened.store, (seconds) =>
    commitSeconds.observe(seconds),
  );
  for (const { authority, undelivered } of await store.deliveries.backlog()) {
    if (registry.current.authorities.has(authority)) continue;
    logger.warn({ authority, undelivered }, 'the store knows an authority that the registry does not');
  }
  const allowLoopback = settings.allowLoopbackEndpoints;
  const resolve = buildHostResolver();
  const parseCriteria = (type: string, params: readonly (readonly [string, string])[]) =>
    parseCriteriaSearch(type, params, { searchDefinitions, baseUrl, registry: () => registry.current });
  // A client that has moved to another organisation, or may read no AuditEvent any more, receives nothing.
  const clientOfLabels = (labels: readonly string[]) => {
    const client = registry.current.clients.get(clientOf(labels) ?? '');
    if (client?.role !== 'authority' || client.organisation.id !== ownerOf(labels)) return undefined;
    const granted = intersectScopes(['system/AuditEvent.rs'], client.scopes).get('AuditEvent');
    return granted === undefined || granted.size === 0 ? undefined : client;
  };
  const newAuditId = buildTimeOrderedIds();
  // What another server changes, from before they are read on; what it has missed it makes up for as after its own.
  const subscriptionsOf = {
    early: new Set<string>(),
    changed: (owner: string) => void subscriptionsOf.early.add(owner),
  };
  const unwatch = await store.watchResources?.('Subscription', (labels) => {
    const owner = ownerOf(labels);
    if (owner !== undefined) subscriptionsOf.changed(owner);
  });
  const subscriptions = await openSubscriptions({
    store,
    commit: (unit) => store.commit(unit),
    indexOf: extract,
    auditOf: ({ before, atMs }) =>
      recordOwnChange(
        {
          id: newAuditId(),
          recordedMs: atMs,
          requestId: randomUUID(),
          type: before.type,
          resourceId: before.id,
          ownerId: ownerOf(before.labels),
        },
        baseUrl,
      ),
    secretsKey: signingKey.sealKey,
    parseSearch: parseCriteria,
    resolve,
    clock: systemClock,
    allowLoopback,
    originsOf: (labels) => clientOfLabels(labels)?.subscriptionOrigins ?? [],
    methodOf: (labels) => clientOfLabels(labels)?.notificationMethod ?? 'PUT',
    secretsOf: (labels) => clientOfLabels(labels)?.webhookSecrets ?? [],
    mayNotify: (labels) => clientOfLabels(labels) !== undefined,
    onContested: ({ id, labels }) =>
      logger.warn(
        { event: 'subscription-contested', authority: ownerOf(labels), subscription: id },
        'another server uses a Subscription that this one refuses: their registries differ',
      ),
    onError,
  });
  subscriptionsOf.changed = (owner) => void subscriptions.changed(owner);
  for (const owner of subscriptionsOf.early) subscriptionsOf.changed(owner);
  const sender = openSender({
    resolve,
    allowLoopback,
    connectTimeoutMs: Math.min(10_000, settings.notificationTimeoutMs),
    deadlineMs: settings.notificationTimeoutMs,
    responseCapBytes: 64 * 1024,
    // Many authorities may be hosted at one origin, some of them dead: the slots bound what is sent at once, nothing else,
    // or those that hang would leave no connection to the others.
    connectionsPerOrigin: 4 * defaultDispatcherLimits.total,
    now: clock,
    tls: settings.notificationTls,
    sign: buildSignNotification(notificationKeys.privateKeys, clock),
  });
  const selectEvent = selectByCriteria(searchDefinitions, baseUrl);
  const topics = openTopicDelivery({
    store,
    subscriptions,
    selectEvent,
    renderEvent: renderForAuthority,
    send: sender.send,
    clock: systemClock,
    baseUrl,
    newId: randomUUID,
    mayConnect: (owner, clientId) => clientOfLabels([ownerLabel(owner), clientLabel(clientId)]) !== undefined,
    bindingKey: signingKey.bindingKey,
    onError,
  });
  const dispatcher = startDispatcher({
    store,
    subscriptions,
    selectEvent,
    renderEvent: renderForAuthority,
    deliver: topics.deliver,
    sender,
    clock: systemClock,
    random: Math.random,
    limits: {
      ...defaultDispatcherLimits,
      perAuthority: settings.notificationConcurrencyPerAuthority,
      perSecond: settings.notificationRatePerAuthority,
      deadlineMs: settings.notificationTimeoutMs,
      leaseMs: settings.notificationTimeoutMs + settings.notificationLeaseMarginMs,
    },
    onParked: (authority, auditId, reason) =>
      logger.warn(
        { event: 'delivery-parked', authority, auditId, reason },
        'an event is refused while others are taken',
      ),
    onError,
  });
  const watch = startDeliveryMonitor({
    deliveries: store.deliveries,
    dispatcher,
    clock: systemClock,
    aheadMs: systemTime.aheadMs,
    register: metrics,
    logger,
    webhookUrl: settings.alarmWebhookUrl,
  });

  const ports: InteractionPorts = {
    store,
    registry: () => registry.current,
    searchDefinitions,
    validate: (resource, type) => validator.validate(resource, profileOf(type)),
    validateBy(resource, type, profile) {
      if (profile === `http://hl7.org/fhir/StructureDefinition/${type}`) return validator.validate(resource, type);
      return profiles.profiles.get(profile)?.type === type ? validator.validate(resource, profile) : undefined;
    },
    parsePatch: (document, kept) => parsePatch(document, kept, definitions),
    extract,
    shape: buildShapeResource(definitions),
    organizations: buildOrganizationDirectory(() => registry.current, extract),
    definitions: buildDefinitionDirectories(
      definitionTypes,
      [...readConformance(profilesFolder), capabilityStatement],
      extract,
    ),
    subscriptions: {
      protect: (resource, stored) => protectSubscription(resource, stored, signingKey.sealKey),
      check: (resource, caller) =>
        checkSubscription(revealSubscription(resource, signingKey.sealKey), {
          parseSearch: parseCriteria,
          allowedOrigins: caller.subscriptionOrigins,
          allowLoopback,
          nowMs: clock(),
        }).issues,
      redact: redactSubscription,
      caughtUp: topics.numbers.allNumbered,
      numbersBehind: openEventNumberRegression({ logger, register: metrics }),
      issueBindingToken: (owner, clientId, subscriptionIds) => {
        const expiresAtMs = clock() + bindingTokenLifetimeMs;
        const binding = { owner, clientId, subscriptionIds, expiresAtMs, nonce: randomUUID() };
        const token = renderBindingToken(binding, signingKey.bindingKey);
        return { token, expiresAtMs, url: websocketUrl(baseUrl) };
      },
      changed: (authorityId) => void subscriptions.changed(authorityId),
    },
    clock,
    newId: randomUUID,
    newAuditId,
    baseUrl,
    cursorKey: signingKey.cursorKey,
    endedPlanVisibleMonths: settings.endedPlanVisibleMonths,
    searchDefaultCount: settings.searchDefaultCount,
    searchMaxCount: settings.searchMaxCount,
    maxBundleEntries: settings.maxBundleEntries,
    replayDeliveries: (authorityId) => dispatcher.replay(authorityId),
    committed(audits) {
      topics.numbers.recorded(audits);
      for (const audit of audits) for (const authority of audit.deliverTo) dispatcher.wake(authority);
    },
  };

  const urls = buildServerUrls(baseUrl, settings.basePath);
  const verifier = buildTokenVerifier({
    signingKey,
    urls,
    trustedIssuers: settings.trustedIssuers,
    registry: () => registry.current,
    nowMs: Date.now,
  });
  const metricsToken = settings.metricsToken === undefined ? undefined : Buffer.from(`Bearer ${settings.metricsToken}`);
  const smartConfiguration = buildSmartConfiguration(urls);
  const jwks = buildJwks(signingKey);

  async function auditRefusal(refused: RefusedRequest): Promise<void> {
    const { interaction, type, raw, caller, clientAddress, requestId, correlationId } = refused;
    // A URL that no route matches names nothing that could have been accessed.
    if (interaction === undefined) return;
    const answered = await recordRefusal(
      refused.fault,
      { interaction, raw, ...(type === undefined ? {} : { type }) },
      { caller, clientAddress, requestId, ...(correlationId === undefined ? {} : { correlationId }) },
      ports,
    );
    if (answered !== refused.fault) throw answered;
  }

  const app = buildServer({
    basePath: settings.basePath,
    publicBaseUrl: baseUrl,
    interactions: listServed(),
    perform: buildPerform(ports),
    authenticate: (authorization) => verifier.peek(authorization) ?? verifier.verify(authorization),
    issueToken: (form) =>
      issueToken(form, {
        nowMs: Date.now(),
        registry: registry.current,
        store,
        signingKey,
        urls,
        lifetimeS: settings.tokenLifetimeS,
      }),
    smartConfiguration: () => smartConfiguration,
    jwks: () => jwks,
    notificationKeys: () => notificationKeys.publicJwks,
    acceptSocket: topics.websockets.accept,
    capabilityStatement: JSON.stringify(capabilityStatement.resource),
    refusalAudit: auditRefusal,
    isReady: () => store.ready,
    healthNotes: opened.notes,
    metrics,
    async authorizeMetrics(authorization) {
      const given = Buffer.from(authorization ?? '');
      if (metricsToken !== undefined && given.length === metricsToken.length && timingSafeEqual(given, metricsToken)) {
        return true;
      }
      return (await verifier.verify(authorization)).role === 'operator';
    },
    logger,
    newId: randomUUID,
    ...(settings.trustedProxies.length === 0 ? {} : { trustedProxies: settings.trustedProxies }),
    limits: { bodyLimitBytes: settings.bodyLimitBytes, requestTimeoutMs: settings.requestTimeoutMs },
  });

  async function close(): Promise<void> {
    await app.close();
    watch.stop();
    // What is cut from here on says nothing about an endpoint: a handshake under way is made again at the next start.
    const subscriptionsClosed = subscriptions.close();
    await dispatcher.stop();
    await topics.close();
    await unwatch?.();
    await subscriptionsClosed;
    await sender.close();
    await store.close();
  }

  try {
    const origin = await app.listen({ host: settings.host, port });
    return {
      baseUrl,
      origin,
      reloadRegistry() {
        const problems = registry.reload();
        if (problems.length === 0) void subscriptions.reload();
        return problems;
      },
      close,
    };
  } catch (error) {
    await close();
    throw error;
  }
}

/** capability-statement.json with this server's base URL. */
function readCapabilityStatement(baseUrl: string): Definition {
  const file = new URL('capability-statement.json', root);
  const statement = JSON.parse(readFileSync(file, 'utf8'));
  if (statement.resourceType !== 'CapabilityStatement')
    throw fault('exception', 'capability-statement.json is damaged.');
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
