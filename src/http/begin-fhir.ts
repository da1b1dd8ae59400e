/** Begins each FHIR request: authenticates the client, then checks the headers, before the body is read. */
import type { FastifyReply, FastifyRequest, HookHandlerDoneFunction } from 'fastify';
import type { Caller } from '../cpis/caller.ts';
import { fault } from '../fhir/fault.ts';
import type { ClientShares } from './client-shares.ts';
import type { ServedRoute } from './exchange.ts';
import { checkContentHeaders } from './media-type.ts';
import type { ServerOptions } from './server-options.ts';
import { certificateOf } from './tls.ts';

/** Kind of body that a route accepts. */
export type BodyContent = 'json' | 'form' | 'patch';

type Begin = (request: FastifyRequest, reply: FastifyReply, done: HookHandlerDoneFunction) => void;

const headerRules: Readonly<Record<string, string>> = {
  'x-request-id': 'X-Request-ID must be a UUID.',
  'x-correlation-id': 'X-Correlation-ID must be 1 to 128 letters, digits, dots, colons, underscores or hyphens.',
  isunscheduledaccessevent: 'IsUnscheduledAccessEvent must be true or false.',
};

/** Builds an onRequest hook. It is synchronous if `authenticate` is, as for a token seen before. */
export function beginFhir(
  options: Pick<ServerOptions, 'authenticate'>,
  shares: Pick<ClientShares, 'admit'>,
  route: ServedRoute,
  content: BodyContent | undefined,
): Begin {
  return (request, _reply, done) => {
    const { exchange } = request;
    exchange.route = route;
    exchange.audited = true;
    const proceed = (caller: Caller): void => {
      exchange.caller = caller;
      shares.admit(caller.clientId);
      checkHeaders(request, content);
    };
    try {
      const caller = options.authenticate(request.headers.authorization, () => certificateOf(request.raw.socket));
      if (caller instanceof Promise) {
        caller.then(proceed).then(() => done(), done);
        return;
      }
      proceed(caller);
    } catch (error) {
      done(error as Error);
      return;
    }
    done();
  };
}

function checkHeaders(request: FastifyRequest, content: BodyContent | undefined): void {
  const { refusedHeader } = request.exchange;
  if (refusedHeader !== undefined) {
    throw fault('invalid', headerRules[refusedHeader] ?? '', { code: 'value', expression: [`http.${refusedHeader}`] });
  }
  if (content === undefined) return;
  const { headers } = request;
  const contentType = headers['content-type'];
  checkContentHeaders(contentType, headers['content-encoding']);
  if (content === 'patch' ? !isPatch(contentType) : isJsonPatch(contentType)) {
    throw fault(
      'media-type',
      content === 'patch' ? `Send a patch as ${patchTypes}.` : 'Send a JSON Patch with the method PATCH.',
      { expression: ['http.content-type'] },
    );
  }
  const isForm = contentType?.toLowerCase().startsWith('application/x-www-form-urlencoded') ?? content === 'form';
  if (isForm !== (content === 'form')) {
    throw fault(
      'media-type',
      `Send the body as ${content === 'form' ? 'application/x-www-form-urlencoded' : 'application/fhir+json'}.`,
      {
        expression: ['http.content-type'],
      },
    );
  }
}

/** Media types of a patch, as `Accept-Patch` lists them. */
export const patchTypes = 'application/json-patch+json, application/fhir+json';

/** Returns true for the media type of a JSON Patch. */
export function isJsonPatch(contentType: string | undefined): boolean {
  return /^application\/json-patch\+json\s*(?:;|$)/i.test(contentType ?? '');
}

function isPatch(contentType: string | undefined): boolean {
  return isJsonPatch(contentType) || /^application\/(?:fhir\+)?json\s*(?:;|$)/i.test(contentType ?? '');
}
