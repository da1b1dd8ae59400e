/** Starts a real server on loopback, with interactions that answer the request itself. */
import { randomUUID } from 'node:crypto';
import type { Server } from 'node:http';
import { type AddressInfo, connect } from 'node:net';
import { Writable } from 'node:stream';
import { Registry } from 'prom-client';
import type { Caller } from '../../src/cpis/caller.ts';
import { fault } from '../../src/fhir/fault.ts';
import { buildServer } from '../../src/http/server.ts';
import type { RefusedRequest, ServerOptions } from '../../src/http/server-options.ts';
import type { AccessContext, FhirAnswer, FhirRequest } from '../../src/interactions/port/interaction.ts';
import { buildLogger } from '../../src/server/logger.ts';

export const token = 'Bearer canary-token-7f3a';

const caller: Caller = {
  clientId: 'epr-client',
  role: 'care-provider',
  organisation: { kind: 'care-provider', id: 'RXX01', name: 'Test Trust', odsCode: 'RXX01' },
  grants: new Map(),
  tokenId: 'token-1',
  issuer: 'https://issuer.example',
  silentReads: false,
  subscriptionOrigins: [],
};

/** Returns a caller of another role. */
export function callerOf(role: Caller['role']): Caller {
  return { ...caller, role };
}

export interface StartedServer {
  readonly url: string;
  readonly port: number;
  /** Every request that reached an interaction. */
  readonly performed: { readonly request: FhirRequest; readonly context: AccessContext }[];
  readonly refused: RefusedRequest[];
  readonly log: string[];
  readonly metrics: Registry;
  readonly http: Server;
  readonly close: () => Promise<void>;
  /** Stops as after SIGTERM: requests under way are answered. */
  readonly drain: () => Promise<void>;
}

export interface StartOptions extends Partial<ServerOptions> {
  readonly answer?: (request: FhirRequest) => FhirAnswer | Promise<FhirAnswer>;
}

export async function startServer(overrides: StartOptions = {}): Promise<StartedServer> {
  const performed: StartedServer['performed'] = [];
  const refused: RefusedRequest[] = [];
  const log: string[] = [];
  const { answer = (request) => ({ kind: 'ok', body: JSON.stringify(request) }), ...rest } = overrides;
  const destination = new Writable({
    write(chunk, _encoding, done) {
      log.push(String(chunk));
      done();
    },
  });
  const metrics = new Registry();
  const app = buildServer({
    basePath: '/FHIR/R4',
    publicBaseUrl: 'https://cpis.example/FHIR/R4',
    interactions: {
      types: {
        Flag: ['read', 'vread', 'create', 'update', 'delete', 'search-type'],
        Organization: ['read', 'search-type'],
      },
      system: ['batch', 'transaction'],
    },
    perform: async (request, context) => {
      performed.push({ request, context });
      return answer(request);
    },
    authenticate: (authorization) => {
      if (authorization !== token) throw fault('login', 'A valid access token is needed.');
      return caller;
    },
    issueToken: async (form) => ({ status: 200, body: { form: [...form] }, headers: { 'x-token': 'yes' } }),
    acceptSocket: () => undefined,
    smartConfiguration: () => ({ token_endpoint: 'https://cpis.example/oauth2/token' }),
    jwks: () => ({ keys: [] }),
    notificationKeys: () => ({ keys: [] }),
    capabilityStatement: '{"resourceType":"CapabilityStatement"}',
    refusalAudit: async (refusal) => {
      refused.push(refusal);
    },
    isReady: () => true,
    notes: () => [],
    metrics,
    authorizeMetrics: (authorization) => {
      if (authorization === undefined) throw fault('login', 'A valid access token is needed.');
      return authorization === token;
    },
    logger: buildLogger({ level: 'info', destination }),
    newId: randomUUID,
    ...rest,
  });
  await app.listen({ host: '127.0.0.1', port: 0 });
  const { port } = app.server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${port}/FHIR/R4`,
    port,
    performed,
    refused,
    log,
    metrics,
    http: app.server,
    drain: () => app.close(),
    close: async () => {
      app.server.closeAllConnections();
      await app.close();
    },
  };
}

/** Writes the parts to a socket, one every `gapMs`. Returns all it received until the server closed it or `waitMs` passed. */
export function rawExchange(
  port: number,
  parts: readonly (string | Uint8Array)[],
  { gapMs = 0, waitMs = 60_000 } = {},
): Promise<{ readonly text: string; readonly closed: boolean }> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1');
    let text = '';
    let timer: NodeJS.Timeout | undefined;
    const finish = (closed: boolean): void => {
      clearTimeout(timer);
      clearInterval(writer);
      socket.destroy();
      resolve({ text, closed });
    };
    const queue = [...parts];
    const write = (): void => {
      const part = queue.shift();
      if (part !== undefined && socket.writable) socket.write(part);
    };
    const writer = setInterval(write, gapMs);
    write();
    timer = setTimeout(() => finish(false), waitMs);
    socket.on('data', (chunk) => {
      text += chunk.toString('latin1');
    });
    socket.on('close', () => finish(true));
    socket.on('error', () => finish(true));
  });
}

/** Returns the first issue of an OperationOutcome, and its Spine code. */
export async function issueOf(response: Response): Promise<{ code: string; spine: string; diagnostics: string }> {
  const outcome = (await response.json()) as {
    readonly resourceType: string;
    readonly issue: readonly {
      readonly code: string;
      readonly diagnostics: string;
      readonly details: { readonly coding: readonly { readonly code: string }[] };
    }[];
  };
  const [issue] = outcome.issue;
  if (outcome.resourceType !== 'OperationOutcome' || issue === undefined) throw new Error('no OperationOutcome');
  return { code: issue.code, spine: issue.details.coding.at(-1)?.code ?? '', diagnostics: issue.diagnostics };
}
