/**
 * The way to the reader thread. It answers one search after the other; what was committed before a search was handed over
 * is in its result, because its statement begins later. A bounded number waits.
 */
import { Worker } from 'node:worker_threads';
import { fault } from '../../fhir/fault.ts';
import type { SearchPlan } from '../../fhir/search/ast.ts';
import type { SearchResult } from '../store.ts';
import type { ConnectionOptions } from './connection.ts';
import { type SqliteFailure, storeUnavailable } from './sqlite-failure.ts';

export type ReaderRequest = SearchPlan | 'close';

export type ReaderReply =
  | { readonly kind: 'opened' }
  | { readonly kind: 'found'; readonly result: SearchResult }
  | { readonly kind: 'failed'; readonly failure: SqliteFailure; readonly message: string };

export interface SearchThread {
  /** Throws FhirFault `transient` when too many wait or the store is closed, `exception` when the search is wrong. */
  search(plan: SearchPlan): Promise<SearchResult>;
  /** Takes nothing more; what waits is refused. */
  close(): Promise<void>;
}

interface Waiting {
  readonly plan: SearchPlan;
  readonly resolve: (result: SearchResult) => void;
  readonly reject: (error: Error) => void;
}

const maxWaiting = 200;

/** Starts the thread. `onLost` is called once when it ends by itself or finds the database damaged. */
export function openSearchThread(file: string, onLost: (error: Error) => void): Promise<SearchThread> {
  const connection: ConnectionOptions = { file, use: 'read' };
  const worker = new Worker(new URL('./reader-thread.ts', import.meta.url), { workerData: connection });
  const opened = Promise.withResolvers<SearchThread>();
  const ended = Promise.withResolvers<void>();
  let state: 'opening' | 'open' | 'closed' = 'opening';
  const waiting: Waiting[] = [];
  let running: Waiting | undefined;

  const runNext = (): void => {
    running = waiting.shift();
    if (running !== undefined) worker.postMessage(running.plan satisfies ReaderRequest);
  };

  const refuseAll = (): void => {
    for (const { reject } of [running, ...waiting.splice(0)].filter((each) => each !== undefined)) {
      reject(storeUnavailable('store-closed'));
    }
    running = undefined;
  };

  const lose = (error: Error): void => {
    if (state === 'closed') return;
    const wasOpening = state === 'opening';
    state = 'closed';
    refuseAll();
    if (wasOpening) opened.reject(error);
    else onLost(error);
  };

  const thread: SearchThread = {
    search(plan) {
      if (state !== 'open') return Promise.reject(storeUnavailable('store-closed'));
      if (waiting.length >= maxWaiting) return Promise.reject(storeUnavailable('store-searches-full'));
      return new Promise((resolve, reject) => {
        waiting.push({ plan, resolve, reject });
        if (running === undefined) runNext();
      });
    },
    close() {
      if (state === 'open') {
        state = 'closed';
        refuseAll();
        worker.postMessage('close' satisfies ReaderRequest);
      }
      return ended.promise;
    },
  };

  worker.on('message', (reply: ReaderReply) => {
    if (reply.kind === 'opened') {
      state = 'open';
      opened.resolve(thread);
      return;
    }
    const asked = running;
    if (asked === undefined) return;
    runNext();
    if (reply.kind === 'found') asked.resolve(reply.result);
    else if (reply.failure === 'rejected') asked.reject(rejected(reply.message));
    else {
      asked.reject(storeUnavailable(`sqlite-${reply.failure}`));
      if (reply.failure === 'lost') lose(new Error(`The store was lost: reading failed: ${reply.message}`));
    }
  });
  worker.on('error', (error) => lose(error instanceof Error ? error : new Error('The reader thread failed.')));
  worker.on('exit', () => {
    lose(new Error('The reader thread ended.'));
    ended.resolve();
  });
  return opened.promise;
}

function rejected(message: string): Error {
  return fault('exception', 'The store could not run this search.', {
    detail: 'sqlite-rejected',
    cause: new Error(message),
  });
}
