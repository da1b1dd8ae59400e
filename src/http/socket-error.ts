/** Answers requests that Node's HTTP parser refused, or that were not complete in time. */
import type { Socket } from 'node:net';
import type { FastifyServerOptions } from 'fastify';
import type { Logger } from 'pino';
import { spineCodingFor } from '../cpis/spine-code.ts';
import { type FhirFault, fault } from '../fhir/fault.ts';
import { renderOperationOutcome } from '../fhir/operation-outcome.ts';
import { fhirJson } from './media-type.ts';

interface Refusal {
  readonly line: string;
  readonly fault: FhirFault;
}

const timedOut: Refusal = {
  line: '408 Request Timeout',
  fault: fault('request-timeout', 'The request was not complete in time. Send it again.'),
};
const headersTooLarge: Refusal = {
  line: '431 Request Header Fields Too Large',
  fault: fault('too-large', 'The headers or the URL are larger than this server accepts. Shorten them.'),
};
const malformed: Refusal = { line: '400 Bad Request', fault: fault('invalid', 'The request is not valid HTTP.') };

/** Builds the handler. It answers with an OperationOutcome, and closes the socket. */
export function buildSocketErrorHandler(logger: Logger): NonNullable<FastifyServerOptions['clientErrorHandler']> {
  return (error, socket) => {
    if (error.code === 'ECONNRESET' || socket.destroyed) return;
    const refusal =
      error.code === 'ERR_HTTP_REQUEST_TIMEOUT'
        ? timedOut
        : error.code === 'HPE_HEADER_OVERFLOW'
          ? headersTooLarge
          : malformed;
    logger.info({ category: refusal.fault.category, detail: error.code }, 'connection refused');
    if (!socket.writable || answerHasBegun(socket) || /^ERR_(SSL|TLS)_/.test(error.code ?? '')) {
      socket.destroy();
      return;
    }
    const body = renderOperationOutcome(refusal.fault.issues, spineCodingFor(refusal.fault.category));
    socket.write(
      `HTTP/1.1 ${refusal.line}\r\nConnection: close\r\nCache-Control: no-store\r\nContent-Type: ${fhirJson}\r\n` +
        `Content-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`,
    );
    socket.destroySoon();
  };
}

/**
 * Returns true if a response has begun, as Node's own handler checks. A second one within it would be a split response.
 */
function answerHasBegun(socket: Socket & { readonly _httpMessage?: { readonly headersSent?: boolean } }): boolean {
  return socket._httpMessage?.headersSent === true;
}
