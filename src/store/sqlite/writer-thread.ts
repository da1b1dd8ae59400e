/** The one thread that writes, so that a slow fsync never blocks the event loop. */
import { parentPort, workerData } from 'node:worker_threads';
import { openBatches } from './apply-batch.ts';
import { assertDurable, type ConnectionOptions, openConnection } from './connection.ts';
import { openSchema } from './schema.ts';
import type { OpResult, WriteOp, WriterReply, WriterRequest } from './write-op.ts';

if (parentPort === null) throw new Error('writer-thread.ts runs as a worker only');
const port = parentPort;
const reply = (message: WriterReply): void => port.postMessage(message);

const db = openConnection(workerData as ConnectionOptions);
openSchema(db);
assertDurable(db);
// The folder is locked by this process, so whoever held these leases is gone: after kill -9 nothing waits for their end.
db.exec('UPDATE delivery SET ready = 1, leaseToken = NULL WHERE leaseToken IS NOT NULL');
const batches = openBatches(db);

/** Above so many AuditEvents without search keys they come before the next batch. */
const maxUnindexed = 49_152;
/** Without a batch for so long the rest is indexed too. */
const indexAfterMs = 500;
let indexTimer: NodeJS.Timeout | undefined;
let lateTurn: NodeJS.Immediate | undefined;
let restTurn: NodeJS.Immediate | undefined;

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
  if (!isLost) indexInTime();
});

/** The answers to the operations have left before this. */
function indexInTime(): void {
  if (batches.isLateDue()) lateTurn ??= setImmediate(workLate);
  if (indexTimer !== undefined) indexTimer.refresh();
  else if (batches.unindexed() > 0) indexTimer = setTimeout(indexRest, indexAfterMs);
}

/**
 * A part of what is written for many AuditEvents at once; batches that have come in meanwhile go before the next part. What
 * fails but for good is tried again with what comes next.
 */
function workLate(): void {
  lateTurn = undefined;
  let done: boolean;
  do done = apply(['late']) === true;
  while (done && batches.unindexed() > maxUnindexed && batches.isLateDue());
  if (done) indexInTime();
}

/** Batches that come in meanwhile go before the next part. */
function indexRest(upTo?: number): void {
  indexTimer = undefined;
  const left = apply(['index', upTo]);
  restTurn = typeof left === 'number' ? setImmediate(indexRest, left) : undefined;
}

function indexAll(): void {
  let left = apply(['index', undefined]);
  while (typeof left === 'number') left = apply(['index', left]);
}

/** Undefined: nothing can be written any more. */
function apply(op: WriteOp): OpResult | undefined {
  if (isLost) return undefined;
  const outcome = batches.apply([op]);
  if (outcome.kind === 'done') return outcome.results[0];
  isLost = true;
  reply(outcome);
  return undefined;
}

function close(): void {
  clearTimeout(indexTimer);
  clearImmediate(lateTurn);
  clearImmediate(restTurn);
  indexAll();
  if (isLost) return;
  db.exec('PRAGMA wal_checkpoint(TRUNCATE)');
  db.close();
  reply({ kind: 'closed' });
  port.close();
}

indexAll();
if (!isLost) reply({ kind: 'opened' });
