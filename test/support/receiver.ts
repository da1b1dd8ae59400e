import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';

/** One request as it arrived. */
interface Received {
  readonly method: string;
  readonly path: string;
  /** Names in lower case. */
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly rawHeaders: readonly string[];
  readonly body: string;
  /** Epoch milliseconds at which it had arrived whole. */
  readonly atMs: number;
}

/** What the receiver does with one request. */
type Behaviour =
  | {
      readonly kind: 'answer';
      readonly status: number;
      readonly headers?: Record<string, string>;
      readonly body?: string | Uint8Array;
    }
  /** Answers with the status after a while. */
  | { readonly kind: 'slow'; readonly delayMs: number; readonly status: number }
  /** Takes the request and never answers. */
  | { readonly kind: 'hang' }
  /** Closes the connection without an answer. */
  | { readonly kind: 'reset' }
  /** A 200 whose body comes byte by byte and never ends. */
  | { readonly kind: 'drip'; readonly everyMs: number }
  /** A status line and then headers, byte by byte, without an end. */
  | { readonly kind: 'drip-headers'; readonly everyMs: number }
  /** A 200 whose body never ends, as fast as it is read; with a length, one that says so, and ends there. */
  | { readonly kind: 'flood'; readonly contentLength?: number }
  | { readonly kind: 'redirect'; readonly status: number; readonly location: string };

/** An HTTP server on 127.0.0.1 that plays the endpoint of a local authority. */
export interface Receiver {
  /** `http://127.0.0.1:<port>` */
  readonly origin: string;
  readonly port: number;
  /** Everything that arrived, in order. */
  readonly received: readonly Received[];
  /** Bytes of endless answers (`drip`, `drip-headers`, `flood`) that were handed to connections. */
  readonly bytesSent: number;
  /** So many connections were open at one time. */
  readonly mostConnections: number;
  /** Decides each request from now on; without it every request is answered 200. */
  behave(decide: Behaviour | ((request: Received, index: number) => Behaviour)): void;
  /** Resolves when `count` requests have arrived in all; rejects after the limit. */
  waitFor(count: number, limitMs?: number): Promise<void>;
  /** Called with each request as it arrives. */
  onReceived(listener: (request: Received) => void): void;
  close(): Promise<void>;
}

const accepted: Behaviour = { kind: 'answer', status: 200 };

/** Opens a receiver. `port` 0 picks a free one; a fixed one brings a closed receiver back. */
export async function openReceiver(port = 0): Promise<Receiver> {
  const received: Received[] = [];
  const listeners = new Set<(request: Received) => void>();
  const sockets = new Set<Socket>();
  let bytesSent = 0;
  let mostConnections = 0;
  let decide: (request: Received, index: number) => Behaviour = () => accepted;

  const server = createServer((request, response) => {
    void (async () => {
      const arrived = await readWhole(request);
      received.push(arrived);
      const behaviour = decide(arrived, received.length - 1);
      for (const listener of [...listeners]) listener(arrived);
      perform(behaviour, response, (bytes) => {
        bytesSent += bytes;
      });
    })().catch(() => response.destroy());
  });
  server.on('connection', (socket) => {
    sockets.add(socket);
    mostConnections = Math.max(mostConnections, sockets.size);
    socket.on('close', () => sockets.delete(socket));
    socket.on('error', () => undefined);
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, '127.0.0.1', resolve);
  });
  const bound = (server.address() as AddressInfo).port;

  return {
    origin: `http://127.0.0.1:${bound}`,
    port: bound,
    received,
    get bytesSent() {
      return bytesSent;
    },
    get mostConnections() {
      return mostConnections;
    },
    behave: (next) => {
      decide = typeof next === 'function' ? next : () => next;
    },
    waitFor: (count, limitMs = 120_000) =>
      new Promise((resolve, reject) => {
        if (received.length >= count) {
          resolve();
          return;
        }
        const timer = setTimeout(() => {
          listeners.delete(check);
          reject(new Error(`${received.length} of ${count} requests arrived within ${limitMs} ms`));
        }, limitMs);
        const check = () => {
          if (received.length < count) return;
          clearTimeout(timer);
          listeners.delete(check);
          resolve();
        };
        listeners.add(check);
      }),
    onReceived: (listener) => listeners.add(listener),
    close: async () => {
      const closed = new Promise((resolve) => server.close(resolve));
      for (const socket of sockets) socket.destroy();
      await closed;
    },
  };
}

async function readWhole(request: IncomingMessage): Promise<Received> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk);
  return {
    method: request.method ?? '',
    path: request.url ?? '',
    headers: request.headers,
    rawHeaders: request.rawHeaders,
    body: Buffer.concat(chunks).toString('utf8'),
    atMs: Date.now(),
  };
}

function perform(behaviour: Behaviour, response: ServerResponse, count: (bytes: number) => void): void {
  switch (behaviour.kind) {
    case 'answer':
      response.writeHead(behaviour.status, behaviour.headers ?? {}).end(behaviour.body ?? '');
      return;
    case 'slow': {
      const timer = setTimeout(() => response.writeHead(behaviour.status).end(), behaviour.delayMs);
      response.on('close', () => clearTimeout(timer));
      return;
    }
    case 'hang':
      return;
    case 'reset':
      response.socket?.resetAndDestroy();
      return;
    case 'redirect':
      response.writeHead(behaviour.status, { location: behaviour.location }).end();
      return;
    case 'drip': {
      response.writeHead(200, { 'content-type': 'text/plain' });
      const timer = setInterval(() => {
        response.write('.');
        count(1);
      }, behaviour.everyMs);
      response.on('close', () => clearInterval(timer));
      return;
    }
    case 'drip-headers': {
      const { socket } = response;
      let sent = 0;
      const timer = setInterval(() => {
        const text = 'HTTP/1.1 200 OK\r\nx-padding: ';
        socket?.write(text[sent] ?? 'a');
        sent += 1;
        count(1);
      }, behaviour.everyMs);
      response.on('close', () => clearInterval(timer));
      socket?.on('close', () => clearInterval(timer));
      return;
    }
    case 'flood': {
      const { contentLength = Number.POSITIVE_INFINITY } = behaviour;
      const length = Number.isFinite(contentLength) ? { 'content-length': contentLength } : {};
      response.writeHead(200, { 'content-type': 'text/plain', ...length });
      const block = Buffer.alloc(16_384, 46);
      let leftBytes = contentLength;
      const pour = () => {
        while (!response.destroyed && leftBytes > 0) {
          const part = block.subarray(0, Math.min(block.length, leftBytes));
          leftBytes -= part.length;
          count(part.length);
          if (!response.write(part)) break;
        }
        if (leftBytes === 0) response.end();
      };
      response.on('drain', pour);
      pour();
    }
  }
}
