/** Assembles the HTTP server. */
import {
  type FastifyBaseLogger,
  type FastifyInstance,
  type FastifyReply,
  type FastifyRequest,
  fastify,
  LogController,
} from 'fastify';
import type { InteractionCode } from '../cpis/interaction-table.ts';
import { type FhirFault, fault, faultCategories } from '../fhir/fault.ts';
import { networkOf } from '../net/address.ts';
import { beginFhir } from './begin-fhir.ts';
import { buildBodyBudget } from './body-budget.ts';
import { buildClientAddress, buildTrusted } from './client-address.ts';
import { buildClientShares } from './client-shares.ts';
import { limitConnections } from './connections.ts';
import { Exchange, unmatchedRoute } from './exchange.ts';
import { addFhirRoutes } from './fhir-routes.ts';
import { registerRequestMetrics, registerThrottleMetrics } from './metrics.ts';
import { addOauthRoutes } from './oauth-routes.ts';
import { addOperationRoutes } from './operation-routes.ts';
import { buildRateLimit } from './rate-limit.ts';
import { sendFault, sendOptions, setCommonHeaders } from './reply.ts';
import { buildRequestBatching } from './request-batching.ts';
import { toFault } from './request-fault.ts';
import { checkSingleHeaders, checkTarget, pathBelow } from './request-target.ts';
import { buildServedPaths, notServed } from './served-paths.ts';
import { defaultHttpLimits, type ServerOptions } from './server-options.ts';
import { buildSocketErrorHandler } from './socket-error.ts';
import { buildHttpsOptions, cutUnverified } from './tls.ts';
import { addWebsocketRoutes, isWebsocketUpgrade } from './websocket-routes.ts';

/** Maximum networks that the rate limit keeps apart. */
const maxNetworks = 10_000;
/** Maximum length of the audited request if nobody could be authenticated. */
const anonymousRawLength = 256;
const noQuery = Object.freeze({});
const suggested: Readonly<Record<string, InteractionCode>> = {
  POST: 'create',
  PUT: 'update',
  PATCH: 'patch',
  DELETE: 'delete',
};

/** Builds the server, not yet listening. Each response has X-Request-ID, and each error is an OperationOutcome. */
export function buildServer(options: ServerOptions): FastifyInstance {
  const limits = { ...defaultHttpLimits, ...options.limits };
  const observe = registerRequestMetrics(options.metrics);
  const throttled = registerThrottleMetrics(options.metrics);
  const anonymous = buildRateLimit({
    perSecond: limits.unauthenticatedPerSecond,
    burst: limits.unauthenticatedBurst,
    maxKeys: maxNetworks,
    nowMs: () => performance.now(),
  });
  const admitAnonymous = (address: string): boolean => {
    const admitted = anonymous.admit(networkOf(address));
    if (!admitted) throttled.unauthenticated();
    return admitted;
  };
  const shares = buildClientShares({
    perSecond: limits.clientPerSecond,
    burst: limits.clientBurst,
    maxConcurrent: limits.clientConcurrent,
    throttled: throttled.client,
  });
  const served = buildServedPaths();
  const forwarding = options.forwarding ?? { trustedProxies: [] };
  const clientAddress = buildClientAddress(forwarding);
  const bodies = buildBodyBudget({
    totalBytes: Math.max(limits.bodiesInFlightBytes, limits.bodyLimitBytes),
    clientBytes: Math.max(limits.bodiesInFlightPerClientBytes, limits.bodyLimitBytes),
  });

  const http = {
    maxHeaderSize: limits.headerLimitBytes,
    // Node swaps the two if the headers timeout is the longer one.
    headersTimeout: Math.min(limits.headersTimeoutMs, limits.requestTimeoutMs),
    connectionsCheckingInterval: Math.min(1_000, limits.requestTimeoutMs / 4),
    shouldUpgradeCallback: isWebsocketUpgrade(options.basePath),
  };
  const https = options.tls && { ...http, ...buildHttpsOptions(options.tls, limits.headersTimeoutMs) };
  const app = fastify({
    // The types of Fastify differ for HTTPS; nothing here depends on the difference.
    ...((https === undefined ? { http } : { https }) as { readonly http: typeof http }),
    loggerInstance: options.logger as FastifyBaseLogger,
    childLoggerFactory: (logger) => logger,
    logController: new LogController({ disableRequestLogging: true }),
    genReqId: () => '',
    requestIdHeader: false,
    bodyLimit: limits.formLimitBytes,
    requestTimeout: limits.requestTimeoutMs,
    keepAliveTimeout: limits.keepAliveTimeoutMs,
    return503OnClosing: false,
    routerOptions: { querystringParser: () => noQuery, maxParamLength: 256 },
    clientErrorHandler: buildSocketErrorHandler(options.logger),
    frameworkErrors: (error, request, reply) => {
      const exchange = openExchange(request, reply, clientAddress(request.raw), options.newId);
      const refused = toFault(error);
      exchange.category = refused.category;
      sendFault(reply, refused);
      finish(request, reply);
    },
  });
  limitConnections(app, limits, buildTrusted(forwarding.trustedProxies));
  cutUnverified(app.server);
  app.removeAllContentTypeParsers();
  app.decorateRequest('exchange');

  const finish = (request: FastifyRequest, reply: FastifyReply): void => {
    const { exchange } = request;
    const durationMs = performance.now() - exchange.startMs;
    observe(exchange.route.template, request.method, reply.statusCode, durationMs / 1000);
    const level = exchange.category === undefined ? 'info' : faultCategories[exchange.category].logLevel;
    if (!options.logger.isLevelEnabled(level)) return;
    options.logger[level](
      {
        method: request.method,
        route: exchange.route.template,
        status: reply.statusCode,
        durationMs: Math.round(durationMs * 100) / 100,
        clientId: exchange.caller?.clientId ?? exchange.tokenClientId,
        requestId: exchange.requestId,
        category: exchange.category,
        detail: exchange.detail,
      },
      'request',
    );
  };

  const batchRequests = buildRequestBatching();
  const beginUnmatched = beginFhir(options, shares, unmatchedRoute, undefined);
  app.addHook('onRequest', (request, reply, done) => {
    openExchange(request, reply, clientAddress(request.raw), options.newId);
    const target = request.raw.url ?? '';
    try {
      checkTarget(target);
      checkSingleHeaders(request.raw.rawHeaders);
    } catch (error) {
      done(error as Error);
      return;
    }
    if (!request.is404) return batchRequests(done);
    const [path = ''] = target.split('?', 1);
    if (path !== options.basePath && !path.startsWith(`${options.basePath}/`))
      return done(fault('not-found', 'This server serves nothing at this path.'));
    beginUnmatched(request, reply, (error?: Error) => {
      const allowed = served.allowed(pathBelow(request, options.basePath));
      if (error === undefined && request.method === 'OPTIONS' && allowed !== undefined) sendOptions(reply, allowed);
      else done(error ?? notServed(allowed));
    });
  });
  app.addHook('onResponse', (request, reply, done) => {
    finish(request, reply);
    done();
  });
  app.setNotFoundHandler((_request, reply) => sendFault(reply, notServed(undefined)));

  app.setErrorHandler(async (error, request, reply) => {
    const { exchange } = request;
    const refused = await auditRefusal(toFault(error), request, options, admitAnonymous);
    exchange.category = refused.category;
    exchange.detail = refused.detail;
    if (refused.isServerFailure) {
      const { logLevel } = faultCategories[refused.category];
      options.logger[logLevel]({ err: refused.cause ?? error, requestId: exchange.requestId }, 'request failed');
    }
    sendFault(
      reply,
      refused,
      refused.category === 'method' ? served.allowed(pathBelow(request, options.basePath)) : undefined,
    );
    return reply;
  });

  app.register(async (scope) => addFhirRoutes(scope, options, limits, { served, bodies, shares }));
  app.register(async (scope) => addWebsocketRoutes(scope, options));
  app.register(async (scope) =>
    addOauthRoutes(scope, options, limits, { bodies, shares, anonymous, throttled: throttled.unauthenticated }),
  );
  app.register(async (scope) => addOperationRoutes(scope, options));
  return app;
}

function openExchange(request: FastifyRequest, reply: FastifyReply, address: string, newId: () => string): Exchange {
  const exchange = new Exchange(request, reply.raw, address, newId);
  request.exchange = exchange;
  setCommonHeaders(reply, exchange);
  return exchange;
}

/**
 * Audits a refusal, and returns the fault to answer: the same one, or 503 if the refusal could not be made durable. A
 * network that sends too many requests without a valid token gets 429 instead and is not audited, because it would fill
 * the store.
 */
async function auditRefusal(
  refused: FhirFault,
  request: FastifyRequest,
  options: ServerOptions,
  admitAnonymous: (address: string) => boolean,
): Promise<FhirFault> {
  const { exchange } = request;
  if (!exchange.audited || exchange.performed || refused.isServerFailure) return refused;
  // Nothing was done, and the AuditEvents of a client that sends too much would fill the store.
  if (refused.category === 'throttled') return refused;
  const anonymous = exchange.caller === undefined;
  if (anonymous && refused.category !== 'login') return refused;
  if (anonymous && !admitAnonymous(exchange.clientAddress)) {
    return fault(
      'throttled',
      'Too many requests without a valid access token came from this address. Get a token, and wait for Retry-After.',
    );
  }
  const raw = `${request.method} ${(request.raw.url ?? '').slice(options.basePath.length + 1)}`;
  try {
    await options.refusalAudit({
      fault: refused,
      caller: exchange.caller,
      requestId: exchange.requestId,
      correlationId: exchange.correlationId,
      clientAddress: exchange.clientAddress,
      unscheduledAccess: exchange.unscheduledAccess,
      interaction: exchange.route.interaction ?? suggested[request.method] ?? 'read',
      type: exchange.route.type,
      raw: anonymous ? raw.slice(0, anonymousRawLength) : raw,
    });
    return refused;
  } catch (cause) {
    return fault(
      'transient',
      'The access could not be recorded, so nothing was disclosed. Try again after Retry-After.',
      { detail: 'refusal-audit', cause },
    );
  }
}
