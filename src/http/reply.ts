/** Renders answers and faults as status, headers and body. Nothing else in the HTTP layer does. */
import type { FastifyReply } from 'fastify';
import { spineCodingFor } from '../cpis/spine-code.ts';
import type { FhirFault } from '../fhir/fault.ts';
import { renderOperationOutcome } from '../fhir/operation-outcome.ts';
import { answerStatus, faultStatus } from '../fhir/response-status.ts';
import { finishSteps } from '../fhir/steps.ts';
import type { AccessContext, FhirAnswer } from '../interactions/port/interaction.ts';
import { inTurns } from '../interactions/yielding/in-turns.ts';
import { patchTypes } from './begin-fhir.ts';
import type { Exchange } from './exchange.ts';
import { answerType } from './media-type.ts';
import { indentJson } from './pretty.ts';

const defaultRetryAfterS = 5;

/** Sets the headers that every response has. */
export function setCommonHeaders(reply: FastifyReply, exchange: Exchange): void {
  reply.header('cache-control', 'no-store');
  reply.header('x-content-type-options', 'nosniff');
  reply.header('content-security-policy', "default-src 'none'");
  reply.header('x-request-id', exchange.requestId);
  if (exchange.correlationId !== undefined) reply.header('x-correlation-id', exchange.correlationId);
}

/** Sends FHIR JSON, with line breaks if the request asks for them. */
export function sendJson(reply: FastifyReply, body: string): void {
  sendText(reply, reply.request.exchange.pretty ? finishSteps(indentJson(body)) : body);
}

function sendText(reply: FastifyReply, text: string): void {
  const { headers, url } = reply.request;
  reply.header('content-type', answerType(headers.accept, url)).send(text);
}

/**
 * Sends the answer of an interaction. `Prefer: return` applies to writes; warnings are sent unless it asks for
 * something else.
 */
export async function sendAnswer(
  reply: FastifyReply,
  answer: FhirAnswer,
  preferReturn: AccessContext['preferReturn'],
  isWrite: boolean,
  publicBaseUrl: string,
): Promise<void> {
  if (answer.versionId !== undefined) reply.header('etag', `W/"${answer.versionId}"`);
  if (answer.lastUpdatedMs !== undefined) reply.header('last-modified', new Date(answer.lastUpdatedMs).toUTCString());
  if (answer.location !== undefined) reply.header('location', `${publicBaseUrl}/${answer.location}`);
  const body = isWrite ? writeBody(answer, preferReturn) : answer.body;
  if (body === undefined) {
    reply.code(answerStatus[answer.kind].code).send();
    return;
  }
  reply.code(answer.kind === 'deleted' ? 200 : answerStatus[answer.kind].code);
  sendText(reply, reply.request.exchange.pretty ? await inTurns(indentJson(body)) : body);
}

function writeBody(answer: FhirAnswer, preferReturn: AccessContext['preferReturn']): string | undefined {
  const warnings = answer.warnings ?? [];
  if (preferReturn === 'minimal') return undefined;
  if (preferReturn === 'representation' && answer.body !== undefined) return answer.body;
  if (warnings.length > 0) return renderOperationOutcome(warnings, spineCodingFor());
  if (preferReturn === 'OperationOutcome') {
    const diagnostics = answer.kind === 'deleted' ? 'Deleted.' : 'Stored.';
    return renderOperationOutcome([{ severity: 'information', code: 'informational', diagnostics }]);
  }
  return answer.body;
}

const realm = 'Bearer realm="cpis-fhir"';

/** Builds the response headers that tell a client how to proceed after this fault. */
export function buildFaultHeaders(refused: FhirFault): Readonly<Record<string, string>> {
  const { category, neededScope, retryAfterS, issues } = refused;
  switch (category) {
    case 'login': {
      const error = `, error="invalid_token", error_description="${issues[0]?.diagnostics}"`;
      return { 'www-authenticate': refused.isTokenInvalid ? `${realm}${error}` : realm };
    }
    case 'forbidden':
      if (neededScope === undefined) return {};
      return { 'www-authenticate': `Bearer error="insufficient_scope", scope="${neededScope}"` };
    case 'transient':
    case 'throttled':
      return { 'retry-after': String(retryAfterS ?? defaultRetryAfterS) };
    default:
      return {};
  }
}

/** Sends a fault as an OperationOutcome. `allowed` lists the methods of the request's target, for a fault `method`. */
export function sendFault(reply: FastifyReply, refused: FhirFault, allowed: readonly string[] = []): void {
  reply.code(faultStatus[refused.category].code).headers(buildFaultHeaders(refused));
  if (refused.category === 'method') reply.header('allow', allowed.join(', '));
  if (refused.category === 'media-type' && reply.request.method === 'PATCH') reply.header('accept-patch', patchTypes);
  sendJson(reply, renderOperationOutcome(refused.issues, spineCodingFor(refused.category)));
}

/** Answers OPTIONS with the methods of its path. There are no CORS headers. */
export function sendOptions(reply: FastifyReply, allowed: readonly string[]): void {
  const diagnostics = 'Allow lists the methods of this path.';
  reply.code(200).header('allow', allowed.join(', '));
  sendJson(reply, renderOperationOutcome([{ severity: 'information', code: 'informational', diagnostics }]));
}
