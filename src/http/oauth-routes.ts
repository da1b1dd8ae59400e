/**
 * Token endpoint (RFC 6749) and its discovery documents. Its errors have the form of OAuth and are no
 * OperationOutcomes.
 */
import type { FastifyInstance } from 'fastify';
import { fault, faultCategories } from '../fhir/fault.ts';
import { faultStatus } from '../fhir/response-status.ts';
import { networkOf } from '../net/address.ts';
import type { BodyBudget } from './body-budget.ts';
import type { ClientShares } from './client-shares.ts';
import { checkContentHeaders } from './media-type.ts';
import { parseQuery } from './query.ts';
import type { RateLimit } from './rate-limit.ts';
import { addFormParser } from './read-body.ts';
import { buildFaultHeaders } from './reply.ts';
import { toFault } from './request-fault.ts';
import type { HttpLimits, ServerOptions } from './server-options.ts';
import { certificateOf } from './tls.ts';

const json = 'application/json; charset=utf-8';

interface OauthRouteParts {
  readonly bodies: BodyBudget;
  readonly shares: ClientShares;
  /** Limit of the failures of each network. */
  readonly anonymous: RateLimit;
  /** Counts a refusal by that limit. */
  readonly throttled: () => void;
}

/** Adds `/oauth2/token`, the JWKS, the notification keys and both paths of the SMART configuration. */
export function addOauthRoutes(
  app: FastifyInstance,
  options: ServerOptions,
  limits: HttpLimits,
  { bodies, shares, anonymous, throttled }: OauthRouteParts,
): void {
  addFormParser(app, bodies);

  app.setErrorHandler((error, request, reply) => {
    const refused = toFault(error);
    request.exchange.category = refused.category;
    request.exchange.detail = refused.detail;
    const { category, isServerFailure } = refused;
    if (isServerFailure)
      request.log[faultCategories[category].logLevel](
        { err: error, requestId: request.exchange.requestId },
        'token request failed',
      );
    const isBusy = category === 'transient' || category === 'throttled';
    const code = isBusy ? 'temporarily_unavailable' : isServerFailure ? 'server_error' : 'invalid_request';
    const description = refused.issues[0]?.diagnostics;
    return reply
      .code(faultStatus[category].code)
      .headers({ 'content-type': json, pragma: 'no-cache', ...buildFaultHeaders(refused) })
      .send(JSON.stringify({ error: code, error_description: description }));
  });

  app.post('/oauth2/token', { bodyLimit: limits.formLimitBytes }, async (request, reply) => {
    const { exchange } = request;
    exchange.route = { template: '/oauth2/token' };
    const network = networkOf(exchange.clientAddress);
    if (!anonymous.hasLeft(network)) {
      throttled();
      throw fault('throttled', 'Too many token requests from this address have failed. Wait for Retry-After.', {
        retryAfterS: anonymous.waitS(network),
      });
    }
    checkContentHeaders(request.headers['content-type'], request.headers['content-encoding']);
    const pairs = parseQuery(typeof request.body === 'string' ? request.body : '');
    const form = new URLSearchParams(pairs.map(([name, value]): [string, string] => [name, value]));
    if (new Set(form.keys()).size !== pairs.length)
      throw fault('invalid', 'A parameter is repeated. Send each parameter once.');
    const { status, body, headers, reason, clientId } = await options.issueToken(
      form,
      certificateOf(request.raw.socket),
    );
    exchange.tokenClientId = clientId;
    exchange.detail = reason;
    if (status === 200 && clientId !== undefined) shares.admit(clientId);
    if (status === 400 || status === 401) anonymous.charge(network, 1);
    return reply
      .code(status)
      .headers({ 'content-type': json, pragma: 'no-cache', ...headers })
      .send(JSON.stringify(body));
  });

  const publish = (path: string, document: () => unknown): void => {
    app.get(path, (request, reply) => {
      request.exchange.route = { template: path };
      reply.header('content-type', json).send(JSON.stringify(document()));
    });
  };
  publish('/.well-known/jwks.json', options.jwks);
  publish('/.well-known/notification-keys.json', options.notificationKeys);
  publish('/.well-known/smart-configuration', options.smartConfiguration);
  publish(`${options.basePath}/.well-known/smart-configuration`, options.smartConfiguration);
}
