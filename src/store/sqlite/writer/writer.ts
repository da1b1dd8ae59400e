/**
 * Sends operations to the writer thread. Those submitted while it works form the next batch. A busier store has larger
 * batches, and so fewer fsyncs and messages for each commit.
 */
import { Worker } from 'node:worker_threads';
import { fault } from '../../../fhir/fault.ts';
import { storeUnavailable, writeOutcomeUnknown } from '../../store-unavailable.ts';
import type { ConnectionOptions } from '../connection/connection.ts';
import type { OpFailure, OpResult, WriteOp, WriterReply, WriterRequest } from './write-op.ts';

export interface Writer {
  /**
   * Durable when it resolves. Rejects with FhirFault `transient` if the store cannot take the operation, `exception` if it is
   * wrong. A function is called when its batch is sent, so that the operations of a batch are encoded together.
   */
  submit(op: WriteOp | (() => WriteOp)): Promise<Exclude<OpResult, OpFailure>>;
  /** Rejects new operations, applies those waiting, checkpoints and ends the thread. */
  close(): Promise<void>;
}

interface Waiting {
  readonly op: WriteOp | (() => WriteOp);
  readonly resolve: (result: Exclude<OpResult, OpFailure>) => void;
  readonly reject: (error: Error) => void;
}

/** Maximum number of operations waiting or sent. */
const maxUnanswered = 10_000;
/**
 * A full batch is sent while the thread still writes the previous one, so that the thread never waits for the main thread. A
 * smaller batch waits for the reply, and collects more operations meanwhile.
 */
const maxBatchesInFlight = 2;
const fullBatch = 32;
const maxBatch = 512;
const batchOf = (waiting: number): number => Math.min(maxBatch, Math.max(fullBatch, waiting >> 1));
const isReady = (waiting: number, inFlight: number): boolean =>
  inFlight === 0 ? waiting > 0 : inFlight < maxBatchesInFlight && waiting >= fullBatch;

export interface WriterEvents {
  /** Called once if the thread can write no more; every later submit is then rejected. */
  readonly onLost: (error: Error) => void;
  /** Called with the number of operations in each transaction. */
  readonly onBatch?: ((operations: number) => void) | undefined;
  /** Called for each operation that failed because the disk is full. */
  readonly onFull?: () => void;
}

/** Starts the thread. Rejects if the database cannot be opened. */
export function openWriter(connection: ConnectionOptions, { onLost, onBatch, onFull }: WriterEvents): Promise<Writer> {
  const worker = new Worker(new URL('./writer-thread.ts', import.meta.url), { workerData: connection });
  const opened = Promise.withResolvers<Writer>();
  const closed = Promise.withResolvers<void>();
  let state: 'opening' | 'open' | 'closing' | 'ended' = 'opening';
  /** Operations not yet sent, in order of submission. */
  let waiting: Waiting[] = [];
  /** Batches sent and not answered, in order. */
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
    for (const { reject } of abandoned) reject(writeOutcomeUnknown('store-lost'));
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
        // Send the next batch before settling this one, so that the thread is not idle.
        sendWaiting();
        for (const [index, waiter] of answered.entries()) settle(waiter, reply.results[index], onFull);
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

/** Encodes a batch. Rejects operations that cannot be encoded. */
function encode(batch: readonly Waiting[]): { readonly batch: Waiting[]; readonly ops: readonly WriteOp[] } {
  const encoded: Waiting[] = [];
  const ops: WriteOp[] = [];
  for (const waiter of batch) {
    try {
      ops.push(typeof waiter.op === 'function' ? waiter.op() : waiter.op);
      encoded.push(waiter);
    } catch (error) {
      waiter.reject(error instanceof Error ? error : new Error('The operation could not be encoded.'));
    }
  }
  return { batch: encoded, ops };
}

function settle({ resolve, reject }: Waiting, result: OpResult | undefined, onFull?: () => void): void {
  if (result === undefined) reject(fault('exception', 'The store gave no answer.'));
  else if (typeof result === 'object' && 'failed' in result) {
    if (result.failed === 'full') onFull?.();
    reject(failureFault(result));
  } else resolve(result);
}

function failureFault({ failed, message }: OpFailure): Error {
  if (failed !== 'rejected') return storeUnavailable(`sqlite-${failed}`);
  return fault('exception', 'The store could not apply this write.', {
    detail: 'sqlite-rejected',
    cause: new Error(message),
  });
}
