/** Rendering: answers and faults become status, headers and body here and nowhere else in the HTTP layer. */
import type { FastifyReply } from 'fastify';
import { spineCodingFor } from '../cpis/spine-code.ts';
import type { FhirFault } from '../fhir/fault.ts';
import { renderOperationOutcome } from '../fhir/operation-outcome.ts';
import type { AccessContext, FhirAnswer } from '../interactions/port/interaction.ts';
import type { Exchange } from './exchange.ts';
import { answerType } from './media-type.ts';
import { indentJson, indentJsonInTurns } from './pretty.ts';

const answerStatus = { ok: 200, created: 201, deleted: 204, 'not-modified': 304 } as const;
const retryAfterSeconds = '5';

/** Headers of every answer. */
export function setCommonHeaders(reply: FastifyReply, exchange: Exchange): void {
  reply.header('cache-control', 'no-store');
  reply.header('x-content-type-options', 'nosniff');
  reply.header('content-security-policy', "default-src 'none'");
  reply.header('x-request-id', exchange.requestId);
  if (exchange.correlationId !== undefined) reply.header('x-correlation-id', exchange.correlationId);
}

/** Sends FHIR JSON, in lines where the request asks for it. */
export function sendJson(reply: FastifyReply, body: string): void {
  sendText(reply, reply.request.exchange.pretty ? indentJson(body) : body);
}

function sendText(reply: FastifyReply, text: string): void {
  const { headers, url } = reply.request;
  reply.header('content-type', answerType(headers.accept, url)).send(text);
}

/** Sends what an interaction answered. `Prefer: return` applies to writes; warnings are told unless it asks otherwise. */
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
    reply.code(answer.kind === 'deleted' ? 204 : answerStatus[answer.kind]).send();
    return;
  }
  reply.code(answer.kind === 'deleted' ? 200 : answerStatus[answer.kind]);
  sendText(reply, reply.request.exchange.pretty ? await indentJsonInTurns(body) : body);
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

/** Sends a fault as OperationOutcome. */
export function sendFault(reply: FastifyReply, refused: FhirFault): void {
  reply.code(refused.status);
  if (refused.category === 'login') reply.header('www-authenticate', 'Bearer');
  if (refused.category === 'transient' || refused.category === 'throttled') {
    reply.header('retry-after', retryAfterSeconds);
  }
  reply.headers({ ...refused.headers });
  sendJson(reply, renderOperationOutcome(refused.issues, spineCodingFor(refused.category)));
}

/** Answers OPTIONS with the methods of its path. No CORS: nothing is said of other origins. */
export function sendOptions(reply: FastifyReply, allowed: readonly string[]): void {
  const diagnostics = 'The methods of this path are in Allow.';
  reply.code(200).header('allow', allowed.join(', '));
  sendJson(reply, renderOperationOutcome([{ severity: 'information', code: 'informational', diagnostics }]));
}
