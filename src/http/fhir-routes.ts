/**
 * Routes of FHIR's RESTful API (https://hl7.org/fhir/R4/http.html). An interaction that `ServedInteractions` does not
 * list has no route.
 */
import type { FastifyInstance, FastifyReply, FastifyRequest, HTTPMethods, onRequestHookHandler } from 'fastify';
import { isWrite } from '../cpis/interaction-table.ts';
import { itemsOf, membersOf } from '../fhir/any-json.ts';
import { compartmentTypes } from '../fhir/patient-compartment.ts';
import type { FhirAnswer, FhirRequest } from '../interactions/port/interaction.ts';
import { withTurnsOf } from '../interactions/yielding/in-turns.ts';
import { type BodyContent, beginFhir } from './begin-fhir.ts';
import type { BodyBudget } from './body-budget.ts';
import type { ClientShares } from './client-shares.ts';
import { buildConcurrencyLimit, type ConcurrencyLimit } from './concurrency-limit.ts';
import type { ServedRoute } from './exchange.ts';
import { buildRequest } from './fhir-request.ts';
import { checkAccept, takeFormat } from './media-type.ts';
import { takePretty } from './pretty.ts';
import { parseQuery } from './query.ts';
import { addBodyParsers } from './read-body.ts';
import { sendAnswer, sendJson } from './reply.ts';
import { pathBelow, queryOf } from './request-target.ts';
import { routesOf } from './route-table.ts';
import { isReserved, notServed, type ServedPaths } from './served-paths.ts';
import type { HttpLimits, ServerOptions } from './server-options.ts';

/** Maximum different property names in a body. FHIR has fewer, and objects of ever new shapes are expensive. */
const maxJsonNames = 1_000;
/** Maximum length of a string in a body, with its escapes. R4 allows 1 MB. */
const maxJsonStringLength = 2 * 1024 * 1024;

interface FhirRouteParts {
  readonly served: ServedPaths;
  readonly bodies: BodyBudget;
  readonly shares: ClientShares;
}

/** Adds the routes of the FHIR base to `app`, and the methods of each path to `served`. */
export function addFhirRoutes(
  app: FastifyInstance,
  options: ServerOptions,
  limits: HttpLimits,
  { served, bodies, shares }: FhirRouteParts,
): void {
  const base = options.basePath;
  const limit = buildConcurrencyLimit(limits.maxConcurrent);
  const add = (template: string, method: HTTPMethods, route: ServedRoute, content: BodyContent | undefined): void => {
    served.add(template, method);
    app.route({
      method,
      url: `${base}${template}`,
      bodyLimit: content === 'form' ? limits.formLimitBytes : limits.bodyLimitBytes,
      onRequest: beginFhir(options, shares, route, content) as onRequestHookHandler,
      handler: (request, reply) => {
        refuseReserved(request, options, served);
        return answer(request, reply, route, options, limit, shares);
      },
    });
  };

  addBodyParsers(app, bodies, {
    maxValues: limits.maxJsonValues,
    maxNames: maxJsonNames,
    maxStringLength: maxJsonStringLength,
  });

  for (const [type, interactions] of Object.entries(options.interactions.types)) {
    for (const { interaction, method, path, content } of routesOf(interactions)) {
      const template = `/${type}${path}`;
      add(template, method, { template, interaction, type }, content);
    }
  }
  for (const type of compartmentTypes) {
    if (options.interactions.types[type]?.includes('search-type') !== true) continue;
    const template = `/Patient/:id/${type}`;
    const route: ServedRoute = { template, interaction: 'search-type', type };
    add(template, 'GET', route, undefined);
    add(`${template}/_search`, 'POST', { ...route, template: `${template}/_search` }, 'form');
  }
  const { system } = options.interactions;
  const bundle = system.find((served) => served !== 'history-system');
  if (bundle !== undefined) {
    for (const template of ['', '/']) add(template, 'POST', { template: '/', interaction: bundle }, 'json');
  }
  if (system.includes('history-system')) {
    add('/_history', 'GET', { template: '/_history', interaction: 'history-system' }, undefined);
  }

  served.add('/metadata', 'GET');
  app.get(`${base}/metadata`, (request, reply) => {
    request.exchange.route = { template: '/metadata' };
    const pairs = parseQuery(queryOf(request));
    if (!takeFormat(pairs)) checkAccept(request.headers.accept);
    request.exchange.pretty = takePretty(pairs);
    sendJson(reply, options.capabilityStatement);
  });
}

async function answer(
  request: FastifyRequest,
  reply: FastifyReply,
  route: ServedRoute,
  options: ServerOptions,
  limit: ConcurrencyLimit,
  shares: ClientShares,
): Promise<FastifyReply> {
  const { exchange } = request;
  const { caller } = exchange;
  if (caller === undefined || route.interaction === undefined) throw new Error('route without a caller');
  const context = exchange.accessContext(request, caller);
  const fhirRequest = buildRequest(request, route.interaction, route.type, options.interactions);
  const { clientId } = caller;
  shares.enter(clientId);
  try {
    limit.enter();
  } catch (error) {
    shares.leave(clientId);
    throw error;
  }
  exchange.performed = true;
  try {
    shares.charge(clientId, furtherRequests(fhirRequest));
    const perform = (): Promise<FhirAnswer> => options.perform(fhirRequest, context);
    const isShort = fhirRequest.interaction === 'search-type' || fhirRequest.interaction === 'read';
    const answered = await (isShort ? perform() : withTurnsOf(clientId, perform));
    await sendAnswer(reply, answered, context.preferReturn, isWrite(fhirRequest.interaction), options.publicBaseUrl);
  } finally {
    limit.leave();
    shares.leave(clientId);
  }
  return reply;
}

/** Returns the number of requests in a Bundle beyond the first. */
function furtherRequests({ interaction, body }: FhirRequest): number {
  if (interaction !== 'batch' && interaction !== 'transaction') return 0;
  return Math.max(0, itemsOf(membersOf(body)['entry']).length - 1);
}

/**
 * Throws 405 or 404 if an operation or `_search` takes the place of the id, because its path has no route for this
 * method.
 */
function refuseReserved(request: FastifyRequest, { basePath }: ServerOptions, served: ServedPaths): void {
  const { id } = request.params as { readonly id?: string };
  if (id === undefined || !isReserved(id)) return;
  throw notServed(served.allowed(pathBelow(request, basePath)));
}
