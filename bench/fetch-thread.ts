/** A worker thread that fetches, so that the client's own time is not counted as the server's. */
import { parentPort } from 'node:worker_threads';

export interface FetchRequest {
  readonly url: string;
  readonly token: string;
}

export interface Fetched {
  readonly status: number;
  readonly entries: number;
  readonly length: number;
}

const port = parentPort;
if (port === null) throw new Error('fetch-thread.ts must run as a worker');
port.on('message', async ({ url, token }: FetchRequest) => {
  const answer = await fetch(url, { headers: { authorization: `Bearer ${token}` } });
  const text = await answer.text();
  const entries = text.split('"fullUrl":').length - 1;
  port.postMessage({ status: answer.status, entries, length: text.length } satisfies Fetched);
});
