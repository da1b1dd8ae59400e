/**
 * Generates load in its own process: autocannon with a fixed number of requests, each connection with its own paths.
 */
import autocannon from 'autocannon';

export interface LoadJob {
  readonly origin: string;
  readonly paths: readonly string[];
  /** Paths, spread over the connections. */
  readonly authorizations: readonly string[];
  readonly connections: number;
  /** Total number of requests. */
  readonly amount: number;
}

export interface LoadResult {
  /** Number of responses with status 200. */
  readonly ok: number;
  /** Number of other responses, broken connections and timeouts. */
  readonly failed: number;
  readonly perSecond: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
}

function run(job: LoadJob): Promise<LoadResult> {
  const perConnection = Math.max(1, Math.floor(job.paths.length / job.connections));
  let connection = 0;
  return new Promise((resolve, reject) => {
    let startedMs = 0;
    let lastMs = 0;
    const instance = autocannon(
      {
        url: job.origin,
        connections: job.connections,
        amount: job.amount,
        setupClient(client) {
          const headers = {
            accept: 'application/fhir+json',
            authorization: job.authorizations[connection % job.authorizations.length] ?? '',
          };
          const paths = job.paths.slice(connection * perConnection, (connection + 1) * perConnection);
          connection += 1;
          client.setRequests(paths.map((path) => ({ method: 'GET', path, headers })));
        },
      },
      (error, result) => {
        if (error) {
          reject(error);
          return;
        }
        resolve({
          ok: result['2xx'],
          failed: result.non2xx + result.errors + result.timeouts,
          perSecond: (result['2xx'] + result.non2xx) / ((lastMs - startedMs) / 1000),
          p50Ms: result.latency.p50,
          p99Ms: result.latency.p99,
        });
      },
    );
    instance.on('start', () => {
      startedMs = performance.now();
    });
    instance.on('response', () => {
      lastMs = performance.now();
    });
  });
}

process.on('message', async (job: LoadJob) => {
  process.send?.(await run(job));
});
process.once('disconnect', () => process.exit(0));
