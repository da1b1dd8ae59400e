/** The one thread that writes, so that a slow fsync never blocks the event loop. */
import { parentPort, workerData } from 'node:worker_threads';
import { openBatches } from './apply-batch.ts';
import { assertDurable, type ConnectionOptions, openConnection } from './connection.ts';
import { openSchema } from './schema.ts';
import type { WriterReply, WriterRequest } from './write-op.ts';

if (parentPort === null) throw new Error('writer-thread.ts runs as a worker only');
const port = parentPort;
const reply = (message: WriterReply): void => port.postMessage(message);

const db = openConnection(workerData as ConnectionOptions);
openSchema(db);
assertDurable(db);
// The folder is locked by this process, so whoever held these leases is gone: after kill -9 nothing waits for their end.
db.exec('UPDATE delivery SET ready = 1, leaseToken = NULL WHERE leaseToken IS NOT NULL');
const batches = openBatches(db);

/** Once so many AuditEvents are without search keys they get them, about 30 ms in which nothing else is written. */
const maxUnindexed = 4_096;
const indexAfterMs = 500;
let indexTimer: NodeJS.Timeout | undefined;

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
  const unindexed = batches.unindexed();
  if (unindexed >= maxUnindexed) index();
  else if (unindexed > 0) indexTimer ??= setTimeout(index, indexAfterMs);
}

/** What fails but for good is tried again with what comes next. */
function index(): void {
  clearTimeout(indexTimer);
  indexTimer = undefined;
  if (isLost) return;
  const outcome = batches.apply([['index']]);
  if (outcome.kind === 'done') return;
  isLost = true;
  reply(outcome);
}

function close(): void {
  index();
  if (isLost) return;
  db.exec('PRAGMA wal_checkpoint(TRUNCATE)');
  db.close();
  reply({ kind: 'closed' });
  port.close();
}

index();
if (!isLost) reply({ kind: 'opened' });
