/**
 * The way to the writer thread. What comes in while it works is its next batch: the busier the store, the larger the
 * batches, and the fewer fsyncs and messages for each commit.
 */
import { Worker } from 'node:worker_threads';
import { fault } from '../../../fhir/fault.ts';
import { storeUnavailable } from '../../store-unavailable.ts';
import type { ConnectionOptions } from '../connection/connection.ts';
import type { OpFailure, OpResult, WriteOp, WriterReply, WriterRequest } from './write-op.ts';

export interface Writer {
  /**
   * Durable when it resolves. Throws FhirFault `transient` when the store cannot take it, `exception` when it is wrong. A
   * function is called when the operation is handed over: many are then encoded one after the other.
   */
  submit(op: WriteOp | (() => WriteOp)): Promise<Exclude<OpResult, OpFailure>>;
  /** Takes nothing more, finishes what waits, checkpoints and ends the thread. */
  close(): Promise<void>;
}

interface Waiting {
  readonly op: WriteOp | (() => WriteOp);
  readonly resolve: (result: Exclude<OpResult, OpFailure>) => void;
  readonly reject: (error: Error) => void;
}

const maxUnanswered = 10_000;
/**
 * While the thread writes one batch the next lies ready, as soon as it is a full one: so the thread need not wait for this
 * side, nor all answers for one fsync. A smaller one waits for the answer, and for those that will be written with it.
 */
const maxBatchesInFlight = 2;
const fullBatch = 32;
const maxBatch = 512;
const batchOf = (waiting: number): number => Math.min(maxBatch, Math.max(fullBatch, waiting >> 1));
const isReady = (waiting: number, inFlight: number): boolean =>
  inFlight === 0 ? waiting > 0 : inFlight < maxBatchesInFlight && waiting >= fullBatch;

/**
 * Starts the thread. `onLost` is called once if it can write no more; from then on every submit is refused. `onBatch` is
 * told how many operations each transaction held.
 */
export function openWriter(
  connection: ConnectionOptions,
  onLost: (error: Error) => void,
  onBatch?: (operations: number) => void,
): Promise<Writer> {
  const worker = new Worker(new URL('./writer-thread.ts', import.meta.url), { workerData: connection });
  const opened = Promise.withResolvers<Writer>();
  const closed = Promise.withResolvers<void>();
  let state: 'opening' | 'open' | 'closing' | 'ended' = 'opening';
  /** Not yet sent, and sent but not answered, each in the order of submission. */
  let waiting: Waiting[] = [];
  const inFlight: Waiting[][] = [];
  let scheduled = false;

  const send = (request: WriterRequest): void => worker.postMessage(request);

  const sendWaiting = (): void => {
    scheduled = false;
    if (state === 'ended') return;
    while (isReady(waiting.length, inFlight.length)) {
      const { batch, ops } = encode(waiting.splice(0, batchOf(waiting.length)));
      if (ops.length === 0) continue;
      inFlight.push(batch);
      send({ kind: 'batch', ops });
    }
    if (inFlight.length === 0 && state === 'closing') send({ kind: 'close' });
  };

  const schedule = (): void => {
    if (scheduled) return;
    scheduled = true;
    setImmediate(sendWaiting);
  };

  const lose = (error: Error): void => {
    if (state === 'ended') return;
    const wasOpening = state === 'opening';
    state = 'ended';
    const abandoned = [...inFlight.flat(), ...waiting];
    waiting = [];
    for (const { reject } of abandoned) reject(storeUnavailable('store-lost'));
    void worker.terminate();
    closed.resolve();
    if (wasOpening) opened.reject(error);
    else onLost(error);
  };

  const submit = (op: WriteOp | (() => WriteOp)): Promise<Exclude<OpResult, OpFailure>> => {
    if (state !== 'open') return Promise.reject(storeUnavailable('store-closed'));
    const unanswered = inFlight.reduce((sum, batch) => sum + batch.length, waiting.length);
    if (unanswered >= maxUnanswered) return Promise.reject(storeUnavailable('store-queue-full'));
    return new Promise((resolve, reject) => {
      waiting.push({ op, resolve, reject });
      schedule();
    });
  };

  const close = (): Promise<void> => {
    if (state === 'open') {
      state = 'closing';
      schedule();
    }
    return closed.promise;
  };

  worker.on('message', (reply: WriterReply) => {
    switch (reply.kind) {
      case 'opened':
        state = 'open';
        opened.resolve({ submit, close });
        return;
      case 'done': {
        const answered = inFlight.shift() ?? [];
        // The thread goes on before its answers are told.
        sendWaiting();
        for (const [index, waiter] of answered.entries()) settle(waiter, reply.results[index]);
        onBatch?.(answered.length);
        return;
      }
      case 'lost':
        lose(new Error(`The store was lost: ${reply.message}`));
        return;
      case 'closed':
        state = 'ended';
        closed.resolve();
    }
  });
  worker.on('error', (error) => lose(error instanceof Error ? error : new Error('The writer thread failed.')));
  worker.on('exit', () => lose(new Error('The writer thread ended.')));
  return opened.promise;
}

/** What can be encoded; the others are told why not. */
function encode(batch: readonly Waiting[]): { readonly batch: Waiting[]; readonly ops: readonly WriteOp[] } {
  const encoded: Waiting[] = [];
  const ops: WriteOp[] = [];
  for (const waiter of batch) {
    try {
      ops.push(typeof waiter.op === 'function' ? waiter.op() : waiter.op);
      encoded.push(waiter);
    } catch (error) {
      waiter.reject(error instanceof Error ? error : new Error('the operation could not be encoded'));
    }
  }
  return { batch: encoded, ops };
}

function settle({ resolve, reject }: Waiting, result: OpResult | undefined): void {
  if (result === undefined) reject(fault('exception', 'The store gave no answer.'));
  else if (typeof result === 'object' && 'failed' in result) reject(failureFault(result));
  else resolve(result);
}

function failureFault({ failed, message }: OpFailure): Error {
  if (failed !== 'rejected') return storeUnavailable(`sqlite-${failed}`);
  return fault('exception', 'The store could not apply this write.', {
    detail: 'sqlite-rejected',
    cause: new Error(message),
  });
}
