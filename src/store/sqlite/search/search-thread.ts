/**
 * Sends searches to the reader thread, which runs one at a time. Access labels alternate, so that one caller's searches do
 * not hold up those of another; the number waiting for each label is bounded. A search sees everything committed before it
 * was submitted, because its statement begins later.
 */
import { Worker } from 'node:worker_threads';
import { fault } from '../../../fhir/fault.ts';
import type { SearchPlan } from '../../../fhir/search/ast.ts';
import type { HistoryPlan, HistoryResult } from '../../history.ts';
import type { SearchResult } from '../../store.ts';
import { storeUnavailable } from '../../store-unavailable.ts';
import type { ConnectionOptions } from '../connection/connection.ts';
import type { SqliteFailure } from '../connection/sqlite-failure.ts';

type Plan = SearchPlan | HistoryPlan;
type Result = SearchResult | HistoryResult;

export type ReaderRequest = Plan | 'close';

export type ReaderReply =
  | { readonly kind: 'opened' }
  | { readonly kind: 'found'; readonly result: Result }
  | { readonly kind: 'failed'; readonly failure: SqliteFailure; readonly message: string };

export interface SearchThread {
  /** Rejects with FhirFault `transient` if too many wait or the store is closed, `exception` if the search is wrong. */
  search(plan: SearchPlan): Promise<SearchResult>;
  /** As `search`. */
  history(plan: HistoryPlan): Promise<HistoryResult>;
  /** Rejects waiting and new searches, and ends the thread. */
  close(): Promise<void>;
}

interface Waiting {
  readonly plan: Plan;
  readonly resolve: (result: Result) => void;
  readonly reject: (error: Error) => void;
}

/** Maximum number of searches waiting for each label. */
const maxWaiting = 200;

/** Starts the thread. Calls `onLost` once if it ends unexpectedly or finds the database damaged. */
export function openSearchThread(file: string, onLost: (error: Error) => void): Promise<SearchThread> {
  const connection: ConnectionOptions = { file, use: 'read' };
  const worker = new Worker(new URL('./reader-thread.ts', import.meta.url), { workerData: connection });
  const opened = Promise.withResolvers<SearchThread>();
  const ended = Promise.withResolvers<void>();
  let state: 'opening' | 'open' | 'closed' = 'opening';
  const waiting = new Map<string, Waiting[]>();
  let running: Waiting | undefined;

  const runNext = (): void => {
    const [next] = waiting;
    running = next?.[1].shift();
    if (next !== undefined) {
      const [label, others] = next;
      waiting.delete(label);
      if (others.length > 0) waiting.set(label, others);
    }
    if (running !== undefined) worker.postMessage(running.plan satisfies ReaderRequest);
  };

  const rejectAll = (): void => {
    const all = [running, ...[...waiting.values()].flat()].filter((each) => each !== undefined);
    running = undefined;
    waiting.clear();
    for (const { reject } of all) reject(storeUnavailable('store-closed'));
  };

  const lose = (error: Error): void => {
    if (state === 'closed') return;
    const wasOpening = state === 'opening';
    state = 'closed';
    rejectAll();
    if (wasOpening) opened.reject(error);
    else onLost(error);
  };

  const submit = (plan: Plan): Promise<Result> => {
    if (state !== 'open') return Promise.reject(storeUnavailable('store-closed'));
    const label = labelOf(plan);
    const ofLabel = waiting.get(label) ?? [];
    if (ofLabel.length >= maxWaiting) return Promise.reject(storeUnavailable('store-searches-full'));
    return new Promise((resolve, reject) => {
      ofLabel.push({ plan, resolve, reject });
      waiting.set(label, ofLabel);
      if (running === undefined) runNext();
    });
  };

  const thread: SearchThread = {
    // The thread replies with the result type of the plan.
    search: (plan) => submit(plan) as Promise<SearchResult>,
    history: (plan) => submit(plan) as Promise<HistoryResult>,
    close() {
      if (state === 'open') {
        state = 'closed';
        rejectAll();
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
    const answered = running;
    if (answered === undefined) return;
    runNext();
    if (reply.kind === 'found') answered.resolve(reply.result);
    else if (reply.failure === 'rejected') answered.reject(rejected(reply.message));
    else {
      answered.reject(storeUnavailable(`sqlite-${reply.failure}`));
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

/** Returns the access label of the caller, or '' for a search by the server itself. */
function labelOf(plan: Plan): string {
  if ('scopes' in plan) return plan.scopes[0]?.now[0] ?? '';
  for (const clause of plan.clauses) if (clause.kind === 'label') return clause.any[0] ?? '';
  return '';
}

function rejected(message: string): Error {
  return fault('exception', 'The store could not run this search.', {
    detail: 'sqlite-rejected',
    cause: new Error(message),
  });
}
