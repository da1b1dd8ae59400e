import { fault } from '../fhir/fault.ts';
import { buildRateLimit } from './rate-limit.ts';

export interface ClientShareOptions {
  /** Requests of one client per second, on average. */
  readonly perSecond: number;
  /** Maximum requests of one client at once. */
  readonly burst: number;
  /** Maximum interactions of one client that run at the same time. */
  readonly maxConcurrent: number;
  /** Called for each request that is refused. */
  readonly throttled: () => void;
}

/** Gives each authenticated client its share of the server, so that none starves the others or fills the disk. */
export interface ClientShares {
  /** Counts a request. Throws `throttled` if the client has sent too many. */
  admit(clientId: string): void;
  /** Counts the further requests in a Bundle. They delay the next request. */
  charge(clientId: string, requests: number): void;
  /** Begins an interaction. Throws `throttled` if the maximum of the client is running. */
  enter(clientId: string): void;
  leave(clientId: string): void;
}

/** Clients come from the registry, so that there are no more of them. */
const maxClients = 100_000;

export function buildClientShares(options: ClientShareOptions): ClientShares {
  const { perSecond, burst, maxConcurrent, throttled } = options;
  const rate = buildRateLimit({ perSecond, burst, maxKeys: maxClients, nowMs: () => performance.now() });
  const running = new Map<string, number>();
  const refuse = (diagnostics: string, detail: string, retryAfterS: number): never => {
    throttled();
    throw fault('throttled', diagnostics, { detail, retryAfterS });
  };
  return {
    admit(clientId) {
      if (rate.admit(clientId)) return;
      refuse(
        'This client sends too many requests. Nothing was done: repeat the request after Retry-After.',
        'client-rate',
        rate.waitS(clientId),
      );
    },
    charge: (clientId, requests) => rate.charge(clientId, requests),
    enter(clientId) {
      const own = running.get(clientId) ?? 0;
      if (own >= maxConcurrent) {
        refuse(
          'This client has too many requests under way. Nothing was done: repeat the request after Retry-After.',
          'client-concurrency',
          1,
        );
      }
      running.set(clientId, own + 1);
    },
    leave(clientId) {
      const own = (running.get(clientId) ?? 1) - 1;
      if (own > 0) running.set(clientId, own);
      else running.delete(clientId);
    },
  };
}
