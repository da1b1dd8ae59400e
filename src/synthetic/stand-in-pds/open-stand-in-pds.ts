/**
 * A stand-in for NHS England's Personal Demographics Service FHIR API, for tests, demonstrations and sandboxes: reading a
 * Patient by NHS number, with application-restricted access. Its records change while it runs, by requests to `/stand-in`.
 */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { isNhsNumber } from '../../cpis/nhs-number.ts';
import { membersOf } from '../../fhir/any-json.ts';
import { parseJson } from '../../fhir/json.ts';
import { renderError, renderFault, renderPerson, type StandInAnswer } from './stand-in-answers.ts';
import { openStandInPeople, readStandInPeople } from './stand-in-people.ts';
import { openStandInTokens, type StandInClient } from './stand-in-tokens.ts';

export interface StandInPds {
  /** FHIR base, without a slash at the end. */
  readonly baseUrl: string;
  readonly tokenUrl: string;
  close(): Promise<void>;
}

export interface StandInPdsOptions extends StandInClient {
  /** A loopback address. */
  readonly host: string;
  readonly port: number;
}

const basePath = '/personal-demographics/FHIR/R4';
const maxBodyBytes = 64 * 1024 * 1024;
const maxRecorded = 100_000;
const uuid = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;

/** Opens the stand-in. Rejects if it cannot listen. */
export async function openStandInPds({ host, port, ...client }: StandInPdsOptions): Promise<StandInPds> {
  const people = openStandInPeople();
  /** What every request gets while the service is out of order. */
  let outage: { readonly status?: number; readonly delayMs?: number } = {};
  /** Requests for a record, for tests that count them. */
  const requests: { readonly number: string; readonly requestId: string; readonly atMs: number }[] = [];

  async function answerPatient(number: string, { headers }: IncomingMessage): Promise<StandInAnswer> {
    if (!tokens.isValid(headers.authorization)) return renderError(401, 'forbidden', 'ACCESS_DENIED');
    const requestId = String(headers['x-request-id'] ?? '');
    if (requestId === '') return renderError(400, 'required', 'MISSING_VALUE', 'Missing value - X-Request-ID');
    if (!uuid.test(requestId)) return renderError(400, 'value', 'INVALID_VALUE', 'Invalid value - X-Request-ID');
    if (requests.length < maxRecorded) requests.push({ number, requestId, atMs: Date.now() });
    if (outage.delayMs !== undefined) await sleep(outage.delayMs, undefined, { ref: false });
    if (outage.status !== undefined) return renderFault(outage.status);
    if (!isNhsNumber(number)) return renderError(400, 'value', 'INVALID_RESOURCE_ID');
    const fault = people.takeFault(number);
    if (fault !== undefined) return renderFault(fault);
    let person = people.get(number);
    if (person?.delayMs !== undefined) await sleep(person.delayMs, undefined, { ref: false });
    for (let step = 0; person?.supersededBy !== undefined && step < 20; step += 1)
      person = people.get(person.supersededBy);
    if (person === undefined) return renderError(404, 'not-found', 'RESOURCE_NOT_FOUND', undefined, 'information');
    if (person.invalidated === true) return renderError(404, 'processing', 'INVALIDATED_RESOURCE');
    return renderPerson(person);
  }

  async function control(method: string, path: string, body: string): Promise<StandInAnswer> {
    const done = { status: 204, body: undefined };
    if (method === 'GET' && path === '/stand-in/requests') return { status: 200, body: requests };
    if (method === 'DELETE' && path === '/stand-in/tokens') {
      tokens.revoke();
      return done;
    }
    const json: unknown = method === 'PUT' ? parseJson(body, { maxKeys: 2_000_000 }) : undefined;
    if (method === 'PUT' && path === '/stand-in/outage') {
      const { status, delayMs } = membersOf(json);
      outage = {
        ...(typeof status === 'number' ? { status } : {}),
        ...(typeof delayMs === 'number' ? { delayMs } : {}),
      };
      return done;
    }
    if (method === 'PUT' && path === '/stand-in/people') {
      const added = readStandInPeople(json);
      if (added === undefined)
        return { status: 422, body: { error: 'send an array of records with numbers from 999' } };
      people.put(added);
      return done;
    }
    return renderError(404, 'not-supported', 'UNSUPPORTED_SERVICE');
  }

  async function answer(request: IncomingMessage): Promise<StandInAnswer> {
    const { method = '', url = '' } = request;
    const body = await readText(request);
    if (method === 'POST' && url === '/oauth2/token') return tokens.issue(new URLSearchParams(body));
    if (url.startsWith('/stand-in/')) return control(method, url, body);
    const [, number] = /^\/personal-demographics\/FHIR\/R4\/Patient\/([^/?]+)$/.exec(url) ?? [];
    if (method === 'GET' && number !== undefined) return answerPatient(number, request);
    return renderError(400, 'not-supported', 'UNSUPPORTED_SERVICE');
  }

  const server = createServer((request, response) => {
    answer(request).then(
      (answered) => send(request, response, answered),
      () => send(request, response, { status: 400, body: { error: 'the request cannot be read' } }),
    );
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject).listen(port, host, resolve);
  });
  const address = server.address() as AddressInfo;
  const origin = `http://${address.family === 'IPv6' ? `[${address.address}]` : address.address}:${address.port}`;
  const tokenUrl = `${origin}/oauth2/token`;
  const tokens = openStandInTokens(client, tokenUrl);
  return {
    baseUrl: `${origin}${basePath}`,
    tokenUrl,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

async function readText(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes > maxBodyBytes) throw new Error('the body is too large');
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('utf8');
}

function send(
  { headers }: IncomingMessage,
  response: ServerResponse,
  { status, headers: own, body }: StandInAnswer,
): void {
  const mirrored = Object.fromEntries(
    ['x-request-id', 'x-correlation-id'].flatMap((name) =>
      headers[name] === undefined ? [] : [[name, headers[name]]],
    ),
  );
  const type = body === undefined ? {} : { 'content-type': 'application/fhir+json' };
  response.writeHead(status, { ...type, ...mirrored, ...own });
  response.end(body === undefined ? '' : JSON.stringify(body));
}
