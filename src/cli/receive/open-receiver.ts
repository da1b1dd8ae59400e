import { timingSafeEqual } from 'node:crypto';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { NotificationHeaders } from '../../notification/outbound-http/verify-notification.ts';
import type { Received, Recorded } from './inbox.ts';
import type { VerifyNotification } from './keyring.ts';
import { NotANotification, type Notification, readNotification } from './read-notification.ts';

export interface ReceiverOptions {
  readonly host: string;
  /** 0 selects a free port. */
  readonly port: number;
  /** Path of the endpoint, such as `/notifications`. */
  readonly path: string;
  /** The Authorization header that the Subscription sends; undefined if none is required. */
  readonly authorization: string | undefined;
  /** Undefined: notifications are accepted unverified. */
  readonly verify: VerifyNotification | undefined;
  /** Stores a notification. Resolves when it is durable. */
  readonly record: (received: Received) => Promise<Recorded>;
  readonly now: () => number;
  /** Called when a request is refused or cannot be stored. The reason holds nothing of the request. */
  readonly onRefused: (status: number, reason: string) => void;
}

export interface Receiver {
  /** The URL for Subscription.channel.endpoint. */
  readonly endpoint: string;
  /** Stops listening and waits for open requests. */
  close(): Promise<void>;
}

interface Refusal {
  readonly status: number;
  readonly reason: string;
}

const maxBodyBytes = 1024 * 1024;
const maxConnections = 128;
const closeGraceMs = 5_000;

/** Listens, and responds with 2xx only to notifications that are verified, understood and durably stored. */
export async function openReceiver(options: ReceiverOptions): Promise<Receiver> {
  const { host, port, path } = options;
  const limits = { requestTimeout: 30_000, headersTimeout: 10_000, keepAliveTimeout: 60_000, maxHeaderSize: 16_384 };
  const server = createServer(limits, (request, response) => {
    take(request, options).then(
      (outcome) => {
        if (typeof outcome !== 'number') options.onRefused(outcome.status, outcome.reason);
        answer(request, response, typeof outcome === 'number' ? outcome : outcome.status);
      },
      // The request was aborted.
      () => response.destroy(),
    );
  });
  server.maxConnections = maxConnections;
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
  // Closes the connection instead of reading the rest of the body.
  if (!request.complete) response.setHeader('connection', 'close');
  response
    .writeHead(status, status === 405 ? { allow: 'POST, PUT' } : status === 503 ? { 'retry-after': '10' } : {})
    .end();
}

const refuse = (status: number, reason: string): Refusal => ({ status, reason });

/** Verifies and stores one request. Returns the status, or why it was refused. Rejects if the request is aborted. */
async function take(request: IncomingMessage, options: ReceiverOptions): Promise<number | Refusal> {
  const place = placeOf(request.url ?? '', options.path);
  if (place === undefined) return refuse(404, 'the path is not that of the endpoint');
  if (request.method !== (place.id === undefined ? 'POST' : 'PUT')) return refuse(405, 'the method is not allowed');
  if (!isAuthorised(request.headers.authorization, options.authorization))
    return refuse(401, 'the Authorization header is missing or wrong');
  if (request.headers['content-encoding'] !== undefined) return refuse(415, 'the body is compressed');
  const body = await readBody(request);
  if (body === undefined) return refuse(413, `the body is longer than ${maxBodyBytes} bytes`);
  const headers = {
    id: single(request.headers['webhook-id']),
    timestamp: single(request.headers['webhook-timestamp']),
    signature: single(request.headers['webhook-signature']),
    recipient: single(request.headers['webhook-recipient']),
    recipientSignature: single(request.headers['webhook-recipient-signature']),
  };
  if (options.verify !== undefined) {
    try {
      const result = await options.verify(headers, body);
      if (result.kind === 'invalid') return refuse(401, result.reason);
    } catch {
      return refuse(503, 'cannot load the public keys of the server');
    }
  }
  if (body.length > 0 && !/^application\/(fhir\+)?json\b/i.test(request.headers['content-type'] ?? '')) {
    return refuse(415, 'the content type is not application/fhir+json');
  }
  const notification = read(body, place.id, headers.id);
  if ('reason' in notification) return notification;
  try {
    const proof = { headers: JSON.stringify(nameHeaders(headers)), body };
    const { repeated } = await options.record({ notification, receivedMs: options.now(), proof });
    return place.id === undefined || repeated.includes(place.id) ? 200 : 201;
  } catch {
    return refuse(503, 'the notification could not be stored');
  }
}

/** Names the headers as `cpis verify-notification` reads them. */
function nameHeaders({ id, timestamp, signature, recipient, recipientSignature }: NotificationHeaders) {
  return {
    'webhook-id': id,
    'webhook-timestamp': timestamp,
    'webhook-signature': signature,
    'webhook-recipient': recipient,
    'webhook-recipient-signature': recipientSignature,
  };
}

/** Returns undefined for a path outside the endpoint. `id` is the AuditEvent id of `PUT {endpoint}/AuditEvent/{id}`. */
function placeOf(target: string, path: string): { readonly id: string | undefined } | undefined {
  const [pathname = ''] = target.split('?', 1);
  if (pathname === path) return { id: undefined };
  const [, id] =
    /^\/AuditEvent\/([A-Za-z0-9\-.]{1,64})$/.exec(pathname.startsWith(path) ? pathname.slice(path.length) : '') ?? [];
  return id === undefined ? undefined : { id };
}

function read(body: Buffer, id: string | undefined, webhookId: string | undefined): Notification | Refusal {
  if (body.length === 0 && id === undefined) {
    if (webhookId === undefined || !/^[A-Za-z0-9\-.]{1,64}$/.test(webhookId))
      return refuse(400, 'the notification is empty and has no webhook-id');
    return { subscription: undefined, events: [{ number: undefined, id: webhookId, resource: undefined }] };
  }
  try {
    const notification = readNotification(body);
    const isPlain = notification.subscription === undefined;
    const [event] = notification.events;
    if (id !== undefined && !(isPlain && event?.id === id))
      return refuse(400, 'the body is not the resource that the path names');
    // The signature covers id and body, so the headers of one event must not carry another.
    if (isPlain && webhookId !== undefined && webhookId !== event?.id)
      return refuse(400, 'the webhook-id is that of another event');
    return notification;
  } catch (error) {
    return refuse(400, error instanceof NotANotification ? error.message : 'the body cannot be read');
  }
}

function isAuthorised(given: string | undefined, wanted: string | undefined): boolean {
  if (wanted === undefined) return true;
  const [left, right] = [Buffer.from(given ?? ''), Buffer.from(wanted)];
  return left.length === right.length && timingSafeEqual(left, right);
}

const single = (value: string | string[] | undefined): string | undefined => (Array.isArray(value) ? value[0] : value);

/** Returns undefined if the body is too long. Rejects if the request is aborted. */
async function readBody(request: IncomingMessage): Promise<Buffer | undefined> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes > maxBodyBytes) return undefined;
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}
