/** The only thread that writes, so that a slow fsync does not block the event loop. */
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
// This process holds the lock of the folder, so the holders of these leases have ended. Do not wait for their expiry.
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
      const immediate = setImmediate(run);
      return () => clearImmediate(immediate);
    },
  },
);

/** True after an I/O error. Nothing more is written, because the state of the file is unknown until it is opened again. */
let isLost = false;

// One batch is one transaction.
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

/** Applies one operation. Returns undefined if nothing can be written any more. */
function apply(op: WriteOp): OpResult | undefined {
  if (isLost) return undefined;
  const outcome = batches.apply([op]);
  if (outcome.kind === 'done') return outcome.results[0];
  isLost = true;
  reply(outcome);
  return undefined;
}

/** Indexes the next chunk. Returns the `upTo` of the next call, or undefined if nothing is left or it failed. */
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
