import { timingSafeEqual } from 'node:crypto';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { NotificationHeaders } from '../../notification/outbound-http/verify-notification.ts';
import type { Arrived, Recorded } from './inbox.ts';
import type { VerifyArrived } from './keyring.ts';
import { NotANotification, readNotification, type Told } from './read-notification.ts';

export interface ReceiverOptions {
  readonly host: string;
  /** 0: any that is free. */
  readonly port: number;
  /** Where notifications come to, such as `/notifications`. */
  readonly path: string;
  /** The Authorization header that the Subscription sends along; undefined: none is asked for. */
  readonly authorization: string | undefined;
  /** Undefined: whatever comes is taken. */
  readonly verify: VerifyArrived | undefined;
  /** Resolves when what arrived is durable. */
  readonly record: (arrived: Arrived) => Promise<Recorded>;
  readonly now: () => number;
  /** A request that was refused or could not be recorded; nothing in it is from the request. */
  readonly onRefused: (status: number, reason: string) => void;
}

export interface Receiver {
  /** What Subscription.channel.endpoint names. */
  readonly endpoint: string;
  /** Lets what is under way end, takes nothing more. */
  close(): Promise<void>;
}

interface Refusal {
  readonly status: number;
  readonly reason: string;
}

const bodyLimitBytes = 1024 * 1024;
const mostConnections = 128;
const closeGraceMs = 5_000;

/** Listens, and answers 2xx for what is verified, understood and durable alone. No request can end it. */
export async function openReceiver(options: ReceiverOptions): Promise<Receiver> {
  const { host, port, path } = options;
  const limits = { requestTimeout: 30_000, headersTimeout: 10_000, keepAliveTimeout: 60_000, maxHeaderSize: 16_384 };
  const server = createServer(limits, (request, response) => {
    take(request, options).then(
      (outcome) => {
        if (typeof outcome !== 'number') options.onRefused(outcome.status, outcome.reason);
        answer(request, response, typeof outcome === 'number' ? outcome : outcome.status);
      },
      // The request broke off before its end.
      () => response.destroy(),
    );
  });
  server.maxConnections = mostConnections;
  server.on('clientError', (_error, socket) => socket.destroy());
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject).listen(port, host, () => {
      server.off('error', reject).on('error', (error) => options.onRefused(500, `the listener failed (${error.name})`));
      resolve();
    });
  });
  const { port: bound } = server.address() as AddressInfo;
  return {
    endpoint: `http://${host.includes(':') ? `[${host}]` : host}:${bound}${path}`,
    async close() {
      const closed = new Promise((resolve) => server.close(resolve));
      server.closeIdleConnections();
      const timer = setTimeout(() => server.closeAllConnections(), closeGraceMs);
      await closed;
      clearTimeout(timer);
    },
  };
}

function answer(request: IncomingMessage, response: ServerResponse, status: number): void {
  // What has not been read is not waited for.
  if (!request.complete) response.setHeader('connection', 'close');
  response
    .writeHead(status, status === 405 ? { allow: 'POST, PUT' } : status === 503 ? { 'retry-after': '10' } : {})
    .end();
}

const refuse = (status: number, reason: string): Refusal => ({ status, reason });

/** The status of what was taken, or why it was not. Rejects when the request breaks off. */
async function take(request: IncomingMessage, options: ReceiverOptions): Promise<number | Refusal> {
  const place = placeOf(request.url ?? '', options.path);
  if (place === undefined) return refuse(404, 'another path than that of the endpoint');
  if (request.method !== (place.id === undefined ? 'POST' : 'PUT')) return refuse(405, 'another method');
  if (!isAuthorised(request.headers.authorization, options.authorization))
    return refuse(401, 'another Authorization header');
  if (request.headers['content-encoding'] !== undefined) return refuse(415, 'a compressed body');
  const body = await readBody(request);
  if (body === undefined) return refuse(413, `a body of more than ${bodyLimitBytes} bytes`);
  const headers = {
    id: single(request.headers['webhook-id']),
    timestamp: single(request.headers['webhook-timestamp']),
    signature: single(request.headers['webhook-signature']),
  };
  if (options.verify !== undefined) {
    try {
      const result = await options.verify(headers, body);
      if (result.kind === 'invalid') return refuse(401, result.reason);
    } catch {
      return refuse(503, 'the public keys of the server cannot be had');
    }
  }
  if (body.length > 0 && !/^application\/(fhir\+)?json\b/i.test(request.headers['content-type'] ?? '')) {
    return refuse(415, 'another content type than application/fhir+json');
  }
  const told = read(body, place.id, headers.id);
  if ('reason' in told) return told;
  try {
    const proof = { headers: JSON.stringify(nameHeaders(headers)), body };
    const { repeated } = await options.record({ told, receivedMs: options.now(), proof });
    return place.id === undefined || repeated.includes(place.id) ? 200 : 201;
  } catch {
    return refuse(503, 'it could not be recorded');
  }
}

/** As `cpis verify-notification` takes them. */
function nameHeaders({ id, timestamp, signature }: NotificationHeaders) {
  return { 'webhook-id': id, 'webhook-timestamp': timestamp, 'webhook-signature': signature };
}

/** Undefined: not ours. `id`: of the AuditEvent, in the form `PUT {endpoint}/AuditEvent/{id}`. */
function placeOf(target: string, path: string): { readonly id: string | undefined } | undefined {
  const [pathname = ''] = target.split('?', 1);
  if (pathname === path) return { id: undefined };
  const [, id] =
    /^\/AuditEvent\/([A-Za-z0-9\-.]{1,64})$/.exec(pathname.startsWith(path) ? pathname.slice(path.length) : '') ?? [];
  return id === undefined ? undefined : { id };
}

function read(body: Buffer, id: string | undefined, webhookId: string | undefined): Told | Refusal {
  if (body.length === 0 && id === undefined) {
    if (webhookId === undefined || !/^[A-Za-z0-9\-.]{1,64}$/.test(webhookId))
      return refuse(400, 'an empty notification without an id');
    return { subscription: undefined, events: [{ number: undefined, id: webhookId, resource: undefined }] };
  }
  try {
    const told = readNotification(body);
    const isPlain = told.subscription === undefined;
    const [event] = told.events;
    if (id !== undefined && !(isPlain && event?.id === id)) return refuse(400, 'another resource than the path names');
    // The signature covers id and body: one event's headers do not carry another one.
    if (isPlain && webhookId !== undefined && webhookId !== event?.id)
      return refuse(400, 'a webhook-id of another event');
    return told;
  } catch (error) {
    return refuse(400, error instanceof NotANotification ? error.message : 'a body that cannot be read');
  }
}

function isAuthorised(given: string | undefined, wanted: string | undefined): boolean {
  if (wanted === undefined) return true;
  const [left, right] = [Buffer.from(given ?? ''), Buffer.from(wanted)];
  return left.length === right.length && timingSafeEqual(left, right);
}

const single = (value: string | string[] | undefined): string | undefined => (Array.isArray(value) ? value[0] : value);

/** Undefined: over the limit. Rejects when the request ends before its time. */
async function readBody(request: IncomingMessage): Promise<Buffer | undefined> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes > bodyLimitBytes) return undefined;
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}
