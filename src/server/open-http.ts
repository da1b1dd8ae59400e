import { randomUUID } from 'node:crypto';
import type { Logger } from 'pino';
import type { Registry as MetricRegistry } from 'prom-client';
import { buildJwks, buildSmartConfiguration } from '../auth/smart-configuration.ts';
import { issueToken } from '../auth/token-endpoint.ts';
import { accessTable } from '../cpis/access-policy.ts';
import { buildMetricsAuthorization } from '../http/authorize-metrics.ts';
import { buildServer } from '../http/server.ts';
import type { HttpLimits, ServedInteractions } from '../http/server-options.ts';
import type { TlsOptions } from '../http/tls.ts';
import { buildPerform } from '../interactions/perform.ts';
import type { InteractionPorts } from '../interactions/port/ports.ts';
import type { Settings } from '../settings/settings.ts';
import type { Store } from '../store/store.ts';
import { buildRefusalAudit } from './audit-refusal.ts';
import type { FhirModel } from './load-fhir-model.ts';
import type { Delivery } from './open-delivery.ts';
import type { Identity } from './open-identity.ts';
import type { Succession } from './open-succession.ts';

export interface OpenHttpOptions {
  readonly settings: Settings;
  /** The FHIR base as clients know it. */
  readonly baseUrl: string;
  readonly identity: Identity;
  readonly model: FhirModel;
  readonly store: Store;
  readonly ports: InteractionPorts;
  readonly delivery: Delivery;
  readonly succession: Pick<Succession, 'notes'>;
  readonly metrics: MetricRegistry;
  readonly logger: Logger;
  readonly tls: TlsOptions | undefined;
}

/** Maximum values in a JSON body for each entry that a Bundle may have. A full Patient has about 60. */
const jsonValuesPerEntry = 100;
const minJsonValues = 100_000;

/** Builds the HTTP layer over the parts of the server. It does not listen yet. */
export function openHttp(options: OpenHttpOptions) {
  const { settings, baseUrl, identity, model, store, ports, delivery, succession, metrics, logger, tls } = options;
  const { registry, signingKey, verifier, notificationKeys, urls } = identity;
  const smartConfiguration = buildSmartConfiguration(urls, settings.tls?.clientCaFile !== undefined);
  return buildServer({
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
        signingKey: signingKey(),
        urls,
        lifetimeS: settings.tokenLifetimeS,
        certificate,
      }),
    smartConfiguration: () => smartConfiguration,
    jwks: () => buildJwks(signingKey()),
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
    limits: limitsOf(settings),
  });
}

function limitsOf(settings: Settings): Partial<HttpLimits> {
  return {
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
  };
}

/** Returns the interactions that the access table gives to any role; nothing else has a route. */
function listServed(): ServedInteractions {
  const types = Object.entries(accessTable).map(([type, row]) => [type, [...new Set(Object.values(row).flat())]]);
  return { types: Object.fromEntries(types), system: ['batch', 'transaction', 'history-system'] };
}
