/** Bounds what connections may hold: how many an address has, how long a response may stand still, and the end. */
import type { Server } from 'node:http';
import type { Socket } from 'node:net';
import type { FastifyInstance } from 'fastify';
import { networkOf, parseAddress } from '../net/address.ts';

export interface ConnectionLimits {
  readonly maxConnections: number;
  /** Maximum connections of one network: an IPv4 address or an IPv6 /64. Trusted proxies have no such limit. */
  readonly maxConnectionsPerAddress: number;
  /** How long a response may make no progress before its connection is cut. */
  readonly stalledAfterMs: number;
}

/** How often connections that have become idle are closed while the server stops. */
const closeIdleEveryMs = 100;

/** Applies the limits to the server of `app`. */
export function limitConnections(
  app: FastifyInstance,
  limits: ConnectionLimits,
  isProxy: (address: string) => boolean,
): void {
  const { server } = app;
  server.maxConnections = limits.maxConnections;
  limitAddresses(server, limits.maxConnectionsPerAddress, isProxy);
  // The timeout of a socket starts again with each part of a response that leaves, and ends idle connections too.
  server.setTimeout(limits.stalledAfterMs, (socket: Socket & { readonly _httpMessage?: unknown }) => {
    const isWorking = socket._httpMessage != null && socket.writableLength === 0;
    if (!isWorking) socket.destroy();
  });
  // A connection that is kept alive after its last response would delay the end by the keep-alive timeout.
  let closing: NodeJS.Timeout | undefined;
  app.addHook('preClose', (done) => {
    closing = setInterval(() => server.closeIdleConnections(), closeIdleEveryMs);
    done();
  });
  app.addHook('onClose', (_app, done) => {
    clearInterval(closing);
    done();
  });
}

function limitAddresses(server: Server, max: number, isProxy: (address: string) => boolean): void {
  const open = new Map<string, number>();
  server.on('connection', (socket: Socket) => {
    const address = parseAddress(socket.remoteAddress ?? '');
    if (address === undefined || isProxy(address)) return;
    const network = networkOf(address);
    const count = (open.get(network) ?? 0) + 1;
    if (count > max) {
      socket.destroy();
      return;
    }
    open.set(network, count);
    socket.once('close', () => {
      const left = (open.get(network) ?? 1) - 1;
      if (left > 0) open.set(network, left);
      else open.delete(network);
    });
  });
}
