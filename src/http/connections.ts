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
  /** How long requests may take to end once the server stops. */
  readonly drainTimeoutMs: number;
}

/** A connection. Node sets `_httpMessage` to the response that is under way. */
type HttpSocket = Socket & { readonly _httpMessage?: unknown };

/** How often connections that have become idle are closed while the server stops. */
const closeIdleEveryMs = 100;
/** How long a request head that is arriving may take while the server stops. */
const headWithinMs = 1_000;

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
  server.setTimeout(limits.stalledAfterMs, (socket: HttpSocket) => {
    const isWorking = socket._httpMessage != null && socket.writableLength === 0;
    if (!isWorking) socket.destroy();
  });
  drainAtClose(app, limits.drainTimeoutMs);
}

/**
 * Lets `close` wait for requests only. Idle connections are closed at once, and those that have not sent a whole request head
 * after a moment. What is left at `drainTimeoutMs` is cut, such as a body that does not arrive.
 */
function drainAtClose(app: FastifyInstance, drainTimeoutMs: number): void {
  const { server } = app;
  const open = new Set<HttpSocket>();
  const watch = (socket: Socket): void => {
    open.add(socket);
    socket.once('close', () => open.delete(socket));
  };
  server.on('connection', watch);
  // With TLS the requests come from a socket of its own, which has the same other end.
  server.on('secureConnection', (secured: Socket) => {
    for (const socket of open) if (isSameEnd(socket, secured)) open.delete(socket);
    watch(secured);
  });
  const timers: NodeJS.Timeout[] = [];
  app.addHook('preClose', (done) => {
    timers.push(
      setInterval(() => server.closeIdleConnections(), closeIdleEveryMs),
      setTimeout(() => {
        for (const socket of open) if (socket._httpMessage == null) socket.destroy();
      }, headWithinMs),
      setTimeout(() => server.closeAllConnections(), drainTimeoutMs),
    );
    done();
  });
  app.addHook('onClose', (_app, done) => {
    for (const timer of timers) clearTimeout(timer);
    done();
  });
}

function isSameEnd(one: Socket, other: Socket): boolean {
  return one.remotePort === other.remotePort && one.remoteAddress === other.remoteAddress;
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
