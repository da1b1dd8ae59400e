/** The one thread that writes, so that a slow fsync never blocks the event loop. */
import { parentPort, workerData } from 'node:worker_threads';
import { openBatch } from './apply-batch.ts';
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
const applyBatch = openBatch(db);

port.on('message', (request: WriterRequest) => {
  if (request.kind === 'batch') {
    reply(applyBatch(request.ops));
    return;
  }
  db.exec('PRAGMA wal_checkpoint(TRUNCATE)');
  db.close();
  reply({ kind: 'closed' });
  port.close();
});
reply({ kind: 'opened' });
