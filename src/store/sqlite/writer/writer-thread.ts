/** The one thread that writes, so that a slow fsync never blocks the event loop. */
import { parentPort, workerData } from 'node:worker_threads';
import { openIndexScheduler } from '../audit-index/index-scheduler.ts';
import { assertDurable, type ConnectionOptions, openConnection } from '../connection/connection.ts';
import { openSchema } from '../connection/schema.ts';
import { openBatches } from './apply-batch.ts';
import { isIndexProgress, type OpResult, type WriteOp, type WriterReply, type WriterRequest } from './write-op.ts';

if (parentPort === null) throw new Error('writer-thread.ts runs as a worker only');
const port = parentPort;
const reply = (message: WriterReply): void => port.postMessage(message);

const db = openConnection(workerData as ConnectionOptions);
openSchema(db);
assertDurable(db);
// The folder is locked by this process, so whoever held these leases is gone: after kill -9 nothing waits for their end.
db.exec('UPDATE delivery SET ready = 1, leaseToken = NULL WHERE leaseToken IS NOT NULL');
const batches = openBatches(db);
const scheduler = openIndexScheduler(
  {
    isDue: batches.isStepDue,
    unindexed: batches.unindexed,
    runStep: () => apply(['index-step']) === true,
    runIdleStep: indexRest,
  },
  {
    now: () => performance.now(),
    after(delayMs, run) {
      const timer = setTimeout(run, delayMs);
      return () => clearTimeout(timer);
    },
    soon(run) {
      const turn = setImmediate(run);
      return () => clearImmediate(turn);
    },
  },
);

/** After an I/O error nothing is written any more: what the file holds is known only when it is opened again. */
let isLost = false;

/** One batch is one transaction. */
port.on('message', (request: WriterRequest) => {
  if (isLost) return;
  if (request.kind === 'close') {
    close();
    return;
  }
  const outcome = batches.apply(request.ops);
  isLost = outcome.kind === 'lost';
  reply(outcome);
  if (!isLost) scheduler.batchDone();
});

/** Undefined: nothing can be written any more. */
function apply(op: WriteOp): OpResult | undefined {
  if (isLost) return undefined;
  const outcome = batches.apply([op]);
  if (outcome.kind === 'done') return outcome.results[0];
  isLost = true;
  reply(outcome);
  return undefined;
}

/** A part of the index up to an event, or up to the last; undefined: no more is left, or it failed. */
function indexRest(upTo: number | undefined): number | undefined {
  const progress = apply(['index', upTo]);
  if (!isIndexProgress(progress)) return undefined;
  const last = upTo ?? progress.committed;
  return progress.indexed < last ? last : undefined;
}

function indexAll(): void {
  let upTo = indexRest(undefined);
  while (upTo !== undefined) upTo = indexRest(upTo);
}

function close(): void {
  scheduler.close();
  indexAll();
  if (isLost) return;
  db.exec('PRAGMA wal_checkpoint(TRUNCATE)');
  db.close();
  reply({ kind: 'closed' });
  port.close();
}

indexAll();
if (!isLost) reply({ kind: 'opened' });
