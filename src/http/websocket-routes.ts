/** Route of the WebSockets of the Subscriptions R5 Backport IG. */
import type { IncomingMessage } from 'node:http';
import websocket, { type WebSocket } from '@fastify/websocket';
import type { FastifyInstance } from 'fastify';
import { defined } from '../fhir/defined.ts';
import { fault } from '../fhir/fault.ts';
import type { OpenedSocket } from './opened-socket.ts';
import type { ServerOptions } from './server-options.ts';
import { certificateOf } from './tls.ts';

/** Maximum length of a subscriber's message, which is a short command. */
const maxMessageLength = 8_192;
const pingEveryMs = 30_000;
const sendTimeoutMs = 30_000;
const goingAway = 1001;
const unsupportedData = 1003;

/** How long a connection that is closed may take to answer before it is cut. */
const closeTimeoutMs = 1_000;

const template = '/$websocket';

/** Builds the function that tells whether a request asks for the WebSocket. Any other Upgrade is ignored (RFC 9110 7.8). */
export function isWebsocketUpgrade(basePath: string): (request: IncomingMessage) => boolean {
  const path = `${basePath}${template}`;
  return ({ url = '', headers }) => url.split('?', 1)[0] === path && headers.upgrade?.toLowerCase() === 'websocket';
}

/**
 * Adds `[base]/$websocket`. A connection is unauthenticated until it binds with a token, and nothing is sent before.
 */
export async function addWebsocketRoutes(app: FastifyInstance, options: ServerOptions): Promise<void> {
  await app.register(websocket, {
    // The types of ws do not know closeTimeout yet.
    options: { maxPayload: maxMessageLength, closeTimeout: closeTimeoutMs } as { maxPayload: number },
    errorHandler: (error, socket, request) => {
      request.log.info({ detail: codeOf(error), requestId: request.exchange.requestId }, 'WebSocket cut');
      socket.terminate();
    },
    preClose(done) {
      for (const socket of this.websocketServer.clients) socket.close(goingAway, 'the server stops');
      this.websocketServer.close();
      done();
    },
  });
  app.route({
    method: 'GET',
    url: `${options.basePath}${template}`,
    onRequest: (request, _reply, done) => {
      request.exchange.route = { template };
      done();
    },
    handler: (_request, reply) => {
      reply.header('upgrade', 'websocket');
      throw fault('invalid', 'This path is a WebSocket: connect with the headers of an upgrade.', {
        expression: ['http.upgrade'],
      });
    },
    wsHandler: (socket, request) =>
      options.acceptSocket(openChannel(socket, request.exchange.clientAddress, certificateOf(request.raw.socket))),
  });
}

function codeOf(error: Error): string {
  return 'code' in error ? String(error.code) : error.name;
}

/** Wraps a WebSocket. It is pinged regularly, and closed if it does not answer before the next ping. */
function openChannel(socket: WebSocket, address: string, certificate: string | undefined): OpenedSocket {
  let answered = true;
  const pings = setInterval(() => {
    if (!answered) socket.terminate();
    answered = false;
    socket.ping();
  }, pingEveryMs);
  pings.unref();
  socket.on('pong', () => {
    answered = true;
  });
  socket.on('close', () => clearInterval(pings));
  return {
    address,
    ...defined({ certificate }),
    send: (text) =>
      new Promise((resolve, reject) => {
        const timer = setTimeout(() => socket.terminate(), sendTimeoutMs);
        socket.send(text, (error) => {
          clearTimeout(timer);
          if (error === undefined || error === null) resolve();
          else reject(error);
        });
      }),
    close: (code, reason) => socket.close(code, reason),
    onMessage: (listener) => {
      socket.on('message', (data, isBinary) => {
        if (isBinary) socket.close(unsupportedData, 'text messages only');
        else listener(data.toString());
      });
    },
    onClose: (listener) => {
      socket.on('close', listener);
    },
  };
}
