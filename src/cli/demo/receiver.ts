/**
 * The subscriber endpoint of a local authority, small but whole: takes AuditEvents as `PUT {endpoint}/AuditEvent/{id}`.
 * The same id again is the same event, so that a repeated delivery changes nothing. A real one stores before it answers.
 */
import { timingSafeEqual } from 'node:crypto';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { performance } from 'node:perf_hooks';
import type { AuditEvent } from 'fhir/r4.js';

/** An AuditEvent that arrived. */
export interface Arrival {
  readonly event: AuditEvent;
  /** `performance.now()` at its first arrival whole. */
  readonly atMs: number;
  /** How often it was sent: more than once after a crash between sending and recording. */
  times: number;
}

export interface Receiver {
  /** `http://127.0.0.1:<port>` */
  readonly origin: string;
  /** What Subscription.channel.endpoint names. */
  readonly endpoint: string;
  /** By AuditEvent.id, in order of arrival. */
  readonly arrivals: ReadonlyMap<string, Arrival>;
  close(): Promise<void>;
}

const bodyLimitBytes = 256 * 1024;
const eventPath = /^\/notifications\/AuditEvent\/([A-Za-z0-9.-]{1,64})$/;

/** Listens on a free port of 127.0.0.1 and takes only requests that bear `authorization` in that header. */
export async function openReceiver(authorization: string): Promise<Receiver> {
  const arrivals = new Map<string, Arrival>();
  const wanted = Buffer.from(authorization);

  function isAuthorised(request: IncomingMessage): boolean {
    const given = Buffer.from(request.headers.authorization ?? '');
    return given.length === wanted.length && timingSafeEqual(given, wanted);
  }

  async function take(request: IncomingMessage): Promise<number> {
    const id = eventPath.exec(request.url ?? '')?.[1];
    if (id === undefined) return 404;
    if (request.method !== 'PUT') return 405;
    if (!isAuthorised(request)) return 401;
    if (!/^application\/fhir\+json\b/i.test(request.headers['content-type'] ?? '')) return 415;
    const body = await readBody(request);
    if (body === undefined) return 413;
    const event = parseAuditEvent(body);
    if (event?.id !== id) return 400;
    const known = arrivals.get(id);
    if (known === undefined) arrivals.set(id, { event, atMs: performance.now(), times: 1 });
    else known.times += 1;
    return known === undefined ? 201 : 200;
  }

  const answer = (request: IncomingMessage, response: ServerResponse): void => {
    take(request).then(
      (status) => {
        if (!request.complete) response.setHeader('connection', 'close');
        response.writeHead(status, status === 405 ? { allow: 'PUT' } : {}).end();
      },
      () => response.destroy(),
    );
  };
  const sockets = new Set<Socket>();
  const server = createServer({ requestTimeout: 30_000 }, answer);
  server.on('connection', (socket) => {
    sockets.add(socket.on('close', () => sockets.delete(socket)));
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject).listen(0, '127.0.0.1', resolve);
  });
  const origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  return {
    origin,
    endpoint: `${origin}/notifications`,
    arrivals,
    async close() {
      const closed = new Promise((resolve) => server.close(resolve));
      for (const socket of sockets) socket.destroy();
      await closed;
    },
  };
}

/** Undefined: over the limit. Rejects when the request ends before its time. */
async function readBody(request: IncomingMessage): Promise<string | undefined> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes > bodyLimitBytes) return undefined;
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('utf8');
}

function parseAuditEvent(text: string): AuditEvent | undefined {
  try {
    const resource: { resourceType?: unknown } | null = JSON.parse(text);
    return resource?.resourceType === 'AuditEvent' ? (resource as AuditEvent) : undefined;
  } catch {
    return undefined;
  }
}
