/** The RESTful API of FHIR over HTTP: https://hl7.org/fhir/R4/http.html. Only what `ServedInteractions` lists gets a route. */
import type { FastifyInstance, FastifyReply, FastifyRequest, HTTPMethods, onRequestHookHandler } from 'fastify';
import { fault } from '../fhir/fault.ts';
import { parseJson } from '../fhir/json.ts';
import { compartmentTypes } from '../fhir/patient-compartment.ts';
import type { FhirRequest, InteractionCode } from '../interactions/port/interaction.ts';
import { type BodyContent, beginFhir, isJsonPatch } from './begin-fhir.ts';
import { buildGate, type Gate } from './concurrency-limit.ts';
import type { ServedRoute } from './exchange.ts';
import { checkAccept, takeFormat } from './media-type.ts';
import { takePretty } from './pretty.ts';
import { parseQuery } from './query.ts';
import { sendAnswer, sendJson } from './reply.ts';
import { isReserved, notServed, type ServedPaths } from './served-paths.ts';
import type { HttpLimits, ServerOptions, TypeInteraction } from './server-options.ts';

interface RouteShape {
  readonly interaction: TypeInteraction;
  readonly method: HTTPMethods;
  /** After `[base]/[type]`. */
  readonly path: string;
  readonly content?: BodyContent;
}

/** An operation that changes nothing: GET with its parameters in the URL, POST with a Parameters resource. */
function onBoth(code: TypeInteraction, at: readonly string[]): RouteShape[] {
  return at.flatMap((level): RouteShape[] => [
    { interaction: code, method: 'GET', path: `${level}/$${code}` },
    { interaction: code, method: 'POST', path: `${level}/$${code}`, content: 'json' },
  ]);
}

const shapes: readonly RouteShape[] = [
  { interaction: 'read', method: 'GET', path: '/:id' },
  { interaction: 'vread', method: 'GET', path: '/:id/_history/:vid' },
  { interaction: 'history-instance', method: 'GET', path: '/:id/_history' },
  { interaction: 'history-type', method: 'GET', path: '/_history' },
  { interaction: 'create', method: 'POST', path: '', content: 'json' },
  { interaction: 'update', method: 'PUT', path: '/:id', content: 'json' },
  { interaction: 'update', method: 'PUT', path: '', content: 'json' },
  { interaction: 'patch', method: 'PATCH', path: '/:id', content: 'patch' },
  { interaction: 'patch', method: 'PATCH', path: '', content: 'patch' },
  { interaction: 'validate', method: 'POST', path: '/$validate', content: 'json' },
  { interaction: 'validate', method: 'POST', path: '/:id/$validate', content: 'json' },
  ...onBoth('status', ['', '/:id']),
  ...onBoth('events', ['/:id']),
  ...onBoth('get-ws-binding-token', ['', '/:id']),
  { interaction: 'replay-deliveries', method: 'POST', path: '/:id/$replay-deliveries', content: 'json' },
  { interaction: 'delete', method: 'DELETE', path: '/:id' },
  { interaction: 'delete', method: 'DELETE', path: '' },
  { interaction: 'search-type', method: 'GET', path: '' },
  { interaction: 'search-type', method: 'POST', path: '/_search', content: 'form' },
];

const operationCodes: ReadonlySet<InteractionCode> = new Set<InteractionCode>([
  'validate',
  'status',
  'events',
  'get-ws-binding-token',
  'replay-deliveries',
]);
const writes: ReadonlySet<InteractionCode> = new Set(['create', 'update', 'patch', 'delete']);
const fhirId = /^[A-Za-z0-9.-]{1,64}$/;

/** Adds the routes of the FHIR base to `app`, and each path with its methods to `served`, for 405 and Allow. */
export function addFhirRoutes(
  app: FastifyInstance,
  options: ServerOptions,
  limits: HttpLimits,
  served: ServedPaths,
): void {
  const base = options.basePath;
  const gate = buildGate(limits.maxConcurrent);
  const add = (template: string, method: HTTPMethods, route: ServedRoute, content: RouteShape['content']): void => {
    served.add(template, method);
    app.route({
      method,
      url: `${base}${template}`,
      bodyLimit: content === 'form' ? limits.formLimitBytes : limits.bodyLimitBytes,
      onRequest: beginFhir(options, route, content) as onRequestHookHandler,
      handler: (request, reply) => {
        refuseReserved(request, options, served);
        return answer(request, reply, route, options, gate);
      },
    });
  };

  app.addContentTypeParser(
    ['application/fhir+json', 'application/json', 'application/json-patch+json'],
    { parseAs: 'buffer' },
    (_request, body: Buffer, done) => {
      try {
        done(null, parseJson(body));
      } catch (error) {
        done(error as Error);
      }
    },
  );
  app.addContentTypeParser('application/x-www-form-urlencoded', { parseAs: 'string' }, (_request, body, done) => {
    done(null, body);
  });

  for (const [type, interactions] of Object.entries(options.interactions.types)) {
    for (const shape of shapes) {
      if (!interactions.includes(shape.interaction)) continue;
      const template = `/${type}${shape.path}`;
      add(template, shape.method, { template, interaction: shape.interaction, type }, shape.content);
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
    const pairs = parseQuery(queryText(request));
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
  gate: Gate,
): Promise<FastifyReply> {
  const { exchange } = request;
  if (exchange.caller === undefined || route.interaction === undefined) throw new Error('route without a caller');
  const context = exchange.accessContext(request, exchange.caller);
  const fhirRequest = buildRequest(request, route.interaction, route.type, options);
  gate.enter();
  exchange.performed = true;
  try {
    const answered = await options.perform(fhirRequest, context);
    await sendAnswer(reply, answered, context.preferReturn, writes.has(fhirRequest.interaction), options.publicBaseUrl);
  } finally {
    gate.leave();
  }
  return reply;
}

function buildRequest(
  request: FastifyRequest,
  interaction: InteractionCode,
  type: string | undefined,
  options: ServerOptions,
): FhirRequest {
  const { method, headers, body } = request;
  const { id, vid } = request.params as { readonly id?: string; readonly vid?: string };
  if (id !== undefined && !fhirId.test(id)) refuseId();
  if (vid !== undefined && !fhirId.test(vid)) refuseId();
  const isForm = interaction === 'search-type' && method === 'POST';
  const text = isForm ? formText(request) : queryText(request);
  const query = parseQuery(text);
  const inCompartment = interaction === 'search-type' && id !== undefined;
  if (inCompartment) query.unshift(['patient', id]);
  if (!takeFormat(query)) checkAccept(headers.accept);
  request.exchange.pretty = takePretty(query);
  const ifNoneMatch = isForm ? undefined : headers['if-none-match'];
  const ifModifiedSince = body === undefined ? headers['if-modified-since'] : undefined;
  const ifMatch = headers['if-match'];
  const ifNoneExist = headers['if-none-exist'];
  if (interaction === 'patch' && Array.isArray(body) !== isJsonPatch(headers['content-type'])) {
    throw fault(
      'structure',
      'The body is not what its Content-Type says: a JSON Patch is an array, a FHIRPath Patch a resource.',
    );
  }
  return {
    interaction:
      type === undefined && interaction !== 'history-system' ? bundleInteraction(body, options) : interaction,
    type,
    id: inCompartment ? undefined : id,
    versionId: vid,
    query,
    raw: rawRequest(request, type, id, vid, interaction, text),
    body: isForm || body === null ? undefined : body,
    ifMatch,
    ifNoneMatch,
    ifModifiedSince,
    ifNoneExist: typeof ifNoneExist === 'string' ? ifNoneExist : undefined,
  };
}

/** `GET Flag?patient=...`, relative to the base, with the parameters as they came, those of a form included. */
function rawRequest(
  request: FastifyRequest,
  type: string | undefined,
  id: string | undefined,
  vid: string | undefined,
  interaction: InteractionCode,
  text: string,
): string {
  const isSearch = interaction === 'search-type';
  const isForm = isSearch && request.method === 'POST';
  const path = isSearch ? [...(id === undefined ? [] : ['Patient', id]), type] : [type, id];
  const segments = [...path, isForm ? '_search' : undefined].filter((segment) => segment !== undefined);
  if (operationCodes.has(interaction)) segments.push(`$${interaction}`);
  if (vid !== undefined || interaction.startsWith('history-')) segments.push('_history');
  if (vid !== undefined) segments.push(vid);
  return `${request.method} ${segments.join('/')}${text === '' ? '' : `?${text}`}`;
}

function queryText(request: FastifyRequest): string {
  const target = request.raw.url ?? '';
  const mark = target.indexOf('?');
  return mark === -1 ? '' : target.slice(mark + 1);
}

/** Parameters of a POST search may stand in its URL as well. */
function formText(request: FastifyRequest): string {
  const form = typeof request.body === 'string' ? request.body : '';
  const inUrl = queryText(request);
  return inUrl === '' ? form : form === '' ? inUrl : `${inUrl}&${form}`;
}

/** `_search` and `$validate` stand where ids do: what is served there with another method is 405. */
function refuseReserved(request: FastifyRequest, { basePath }: ServerOptions, served: ServedPaths): void {
  const { id } = request.params as { readonly id?: string };
  if (id === undefined || !isReserved(id)) return;
  const [path = ''] = (request.raw.url ?? '').split('?', 1);
  throw notServed(served.allowed(path.slice(basePath.length)));
}

function refuseId(): never {
  throw fault('invalid', 'An id in the URL is not a FHIR id.', { code: 'value' });
}

function bundleInteraction(body: unknown, options: ServerOptions): InteractionCode {
  const isObject = typeof body === 'object' && body !== null && 'resourceType' in body;
  if (!isObject || body.resourceType !== 'Bundle') {
    throw fault('structure', 'The body must be a Bundle.', { expression: ['Bundle'] });
  }
  const type = 'type' in body ? body.type : undefined;
  const bundles = options.interactions.system.filter((served) => served !== 'history-system');
  const interaction = bundles.find((served) => served === type);
  if (interaction === undefined) {
    throw fault('invalid', `Bundle.type must be one of: ${bundles.join(', ')}.`, {
      code: 'value',
      expression: ['Bundle.type'],
    });
  }
  return interaction;
}
