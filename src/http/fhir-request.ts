/** Reads an HTTP request as the FHIR request that an interaction performs. */
import type { FastifyRequest } from 'fastify';
import { type InteractionCode, isOperation } from '../cpis/interaction-table.ts';
import { fault } from '../fhir/fault.ts';
import type { FhirRequest } from '../interactions/port/interaction.ts';
import { isJsonPatch } from './begin-fhir.ts';
import { checkAccept, takeFormat } from './media-type.ts';
import { takePretty } from './pretty.ts';
import { parseQuery } from './query.ts';
import { queryOf } from './request-target.ts';
import type { ServedInteractions } from './server-options.ts';

const fhirId = /^[A-Za-z0-9.-]{1,64}$/;

/** Builds the FHIR request of an HTTP request. Throws 400 or 406 if it cannot be understood. */
export function buildRequest(
  request: FastifyRequest,
  interaction: InteractionCode,
  type: string | undefined,
  interactions: ServedInteractions,
): FhirRequest {
  const { method, headers, body } = request;
  const { id, vid } = request.params as { readonly id?: string; readonly vid?: string };
  if (id !== undefined && !fhirId.test(id)) refuseId();
  if (vid !== undefined && !fhirId.test(vid)) refuseId();
  const isForm = interaction === 'search-type' && method === 'POST';
  const text = isForm ? formText(request) : queryOf(request);
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
      'The body does not match its Content-Type. A JSON Patch is an array, a FHIRPath Patch is a Parameters resource.',
      { expression: ['http.content-type'] },
    );
  }
  return {
    interaction:
      type === undefined && interaction !== 'history-system' ? bundleInteraction(body, interactions) : interaction,
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

/**
 * Returns the request relative to the base, such as `GET Flag?patient=...`, with its parameters verbatim, those of a
 * form included.
 */
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
  if (isOperation(interaction)) segments.push(`$${interaction}`);
  if (vid !== undefined || interaction.startsWith('history-')) segments.push('_history');
  if (vid !== undefined) segments.push(vid);
  return `${request.method} ${segments.join('/')}${text === '' ? '' : `?${text}`}`;
}

/** Returns the parameters of a POST search, which may be in its URL as well. */
function formText(request: FastifyRequest): string {
  const form = typeof request.body === 'string' ? request.body : '';
  const inUrl = queryOf(request);
  return inUrl === '' ? form : form === '' ? inUrl : `${inUrl}&${form}`;
}

function refuseId(): never {
  throw fault('invalid', 'An id in the URL is not valid. A FHIR id has 1 to 64 letters, digits, hyphens or dots.', {
    code: 'value',
  });
}

function bundleInteraction(body: unknown, { system }: ServedInteractions): InteractionCode {
  const isObject = typeof body === 'object' && body !== null && 'resourceType' in body;
  if (!isObject || body.resourceType !== 'Bundle') {
    throw fault('structure', 'The body is not a Bundle. A POST to the FHIR base takes a Bundle.', {
      expression: ['Bundle'],
    });
  }
  const type = 'type' in body ? body.type : undefined;
  const bundles = system.filter((served) => served !== 'history-system');
  const interaction = bundles.find((served) => served === type);
  if (interaction === undefined) {
    throw fault('invalid', `Bundle.type must be one of: ${bundles.join(', ')}.`, {
      code: 'value',
      expression: ['Bundle.type'],
    });
  }
  return interaction;
}
