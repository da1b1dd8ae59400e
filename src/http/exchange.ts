/** State of one request in the HTTP layer. */
import type { ServerResponse } from 'node:http';
import type { FastifyRequest } from 'fastify';
import type { Caller } from '../cpis/caller.ts';
import type { InteractionCode } from '../cpis/interaction-table.ts';
import type { FaultCategory } from '../fhir/fault.ts';
import type { AccessContext } from '../interactions/port/interaction.ts';
import { parsePrefer } from './prefer.ts';

declare module 'fastify' {
  interface FastifyRequest {
    exchange: Exchange;
  }
}

/** A route, as it is logged, measured and audited. `template` never contains a value of a request. */
export interface ServedRoute {
  readonly template: string;
  /** Set on routes that lead to an interaction. Refusals on them are audited. */
  readonly interaction?: InteractionCode;
  readonly type?: string;
}

export const unmatchedRoute: ServedRoute = { template: 'unmatched' };

const uuid = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i;
const correlation = /^[A-Za-z0-9._:-]{1,128}$/;

export class Exchange {
  readonly startMs: number = performance.now();
  /** Read at the start, because it is unknown once the connection has closed. */
  readonly clientAddress: string;
  readonly requestId: string;
  readonly correlationId: string | undefined;
  /** Undefined also if the header is neither true nor false. */
  readonly unscheduledAccess: boolean | undefined;
  readonly response: ServerResponse;
  /** The first header with an invalid value, if any. */
  readonly refusedHeader: string | undefined;
  route: ServedRoute = unmatchedRoute;
  /** True for a FHIR request, of which each refusal is audited. */
  audited = false;
  /** True once the interaction has begun. From then on it audits its own refusals. */
  performed = false;
  /** True for `_pretty=true`: the response has line breaks and indentation. */
  pretty = false;
  caller: Caller | undefined = undefined;
  /** The registered client of a token request, for the log. */
  tokenClientId: string | undefined = undefined;
  category: FaultCategory | undefined = undefined;
  detail: string | undefined = undefined;

  /**
   * Reads the identifiers of the request from its headers, and replaces a missing or invalid request id by `newId()`.
   */
  constructor(request: FastifyRequest, response: ServerResponse, clientAddress: string, newId: () => string) {
    this.response = response;
    const { headers } = request;
    this.clientAddress = clientAddress;
    const requestId = headers['x-request-id'];
    const validId = typeof requestId === 'string' && uuid.test(requestId);
    this.requestId = validId ? requestId : newId();
    const correlationId = headers['x-correlation-id'];
    const validCorrelation = typeof correlationId === 'string' && correlation.test(correlationId);
    this.correlationId = validCorrelation ? correlationId : undefined;
    const unscheduled = unscheduledAccess(request);
    this.unscheduledAccess = unscheduled ?? undefined;
    if (requestId !== undefined && !validId) this.refusedHeader = 'x-request-id';
    else if (correlationId !== undefined && !validCorrelation) this.refusedHeader = 'x-correlation-id';
    else if (unscheduled === null) this.refusedHeader = 'isunscheduledaccessevent';
    else this.refusedHeader = undefined;
  }

  /** Builds the facts that an interaction needs. Call it once the headers have been checked and the caller is known. */
  accessContext(request: FastifyRequest, caller: Caller): AccessContext {
    const { handling, preferReturn } = parsePrefer(request.headers.prefer as string | undefined);
    return {
      caller,
      requestId: this.requestId,
      correlationId: this.correlationId,
      clientAddress: this.clientAddress,
      unscheduledAccess: this.unscheduledAccess,
      handling,
      preferReturn,
    };
  }
}

/** Returns null if the header is neither true nor false. */
function unscheduledAccess(request: FastifyRequest): boolean | null | undefined {
  const value = request.headers['isunscheduledaccessevent'];
  if (value === undefined) return undefined;
  const lower = typeof value === 'string' ? value.toLowerCase() : '';
  return lower === 'true' ? true : lower === 'false' ? false : null;
}
