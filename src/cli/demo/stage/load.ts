import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type { FhirClient } from '../../../synthetic/fhir-client.ts';

/** The outcome of a load. */
export interface LoadCounts {
  /** X-Request-ID of every request sent -> whether its response was a 200 and received completely. */
  readonly sent: ReadonlyMap<string, boolean>;
  /** Number of responses with a status other than 200. */
  readonly refused: number;
}

export interface Load {
  readonly acknowledged: number;
  /** Waits for the requests in flight. */
  stop(): Promise<LoadCounts>;
}

const retryAfterMs = 25;

/** Starts clients that look up the children in turn until stopped, and reconnect after a broken connection. */
export function startLoad(clients: readonly FhirClient[], concurrency: number, nhsNumbers: readonly string[]): Load {
  const sent = new Map<string, boolean>();
  let acknowledged = 0;
  let refused = 0;
  let stopped = false;
  let next = 0;

  async function run(client: FhirClient): Promise<void> {
    while (!stopped) {
      const requestId = randomUUID();
      const nhsNumber = nhsNumbers[next++ % nhsNumbers.length] ?? '';
      sent.set(requestId, false);
      try {
        const headers = { 'x-request-id': requestId };
        const { status } = await client.request('GET', `Flag?patient=${nhsNumber}`, undefined, headers);
        if (status === 200) {
          sent.set(requestId, true);
          acknowledged += 1;
        } else refused += 1;
      } catch {
        await sleep(retryAfterMs);
      }
    }
  }

  const running = Array.from({ length: concurrency }, (_, index) => {
    const client = clients[index % clients.length];
    return client === undefined ? Promise.resolve() : run(client);
  });
  return {
    get acknowledged() {
      return acknowledged;
    },
    async stop() {
      stopped = true;
      await Promise.all(running);
      return { sent, refused };
    },
  };
}
