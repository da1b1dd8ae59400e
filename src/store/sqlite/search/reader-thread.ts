/** The thread that runs searches that may take long, so that they do not block the event loop. */
import { parentPort, workerData } from 'node:worker_threads';
import { type ConnectionOptions, openConnection } from '../connection/connection.ts';
import { sqliteFailure } from '../connection/sqlite-failure.ts';
import { openStatements } from '../connection/statements.ts';
import { openTexts } from '../encoding/read-text.ts';
import { runHistory } from './run-history.ts';
import { runSearch } from './run-search.ts';
import type { ReaderReply, ReaderRequest } from './search-thread.ts';

if (parentPort === null) throw new Error('reader-thread.ts runs as a worker only');
const port = parentPort;
const reply = (message: ReaderReply): void => port.postMessage(message);

const db = openConnection(workerData as ConnectionOptions);
const statements = openStatements(db);
const textOf = openTexts(statements);

port.on('message', (request: ReaderRequest) => {
  if (request === 'close') {
    db.close();
    port.close();
    return;
  }
  try {
    const result = 'scopes' in request ? runHistory(statements, request) : runSearch(statements, textOf, request);
    reply({ kind: 'found', result });
  } catch (error) {
    reply({ kind: 'failed', failure: sqliteFailure(error), message: error instanceof Error ? error.message : '' });
  }
});

reply({ kind: 'opened' });
