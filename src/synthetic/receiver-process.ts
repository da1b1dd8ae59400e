import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { performance } from 'node:perf_hooks';
import { DatabaseSync } from 'node:sqlite';
import type { AuditEvent } from 'fhir/r4.js';
import { environmentWithoutSettings, startCpis } from './cpis-process.ts';

/** An AuditEvent that arrived and is recorded. */
export interface Arrival {
  readonly event: AuditEvent;
  /** `performance.now()` when the receiver had told of it. */
  readonly atMs: number;
}

/** `cpis receive` as a process of its own: the endpoint of a local authority. */
export interface ReceiverProcess {
  /** `http://127.0.0.1:<port>` */
  readonly origin: string;
  /** What Subscription.channel.endpoint names. */
  readonly endpoint: string;
  /** By AuditEvent.id, in order of arrival. */
  readonly arrivals: ReadonlyMap<string, Arrival>;
  /** Ids of the events that were sent more than once: after a crash between sending and recording. */
  findRepeated(): ReadonlySet<string>;
  close(): Promise<void>;
  /** At once, for an `exit` handler. */
  killNow(): void;
}

export interface ReceiverProcessOptions {
  readonly folder: string;
  /** Of the files in the folder. */
  readonly name: string;
  /** What it asks for in the Authorization header. */
  readonly authorization: string;
  /** Where the server publishes the keys of its notifications. */
  readonly keysUrl: string;
  /** More options of the command. */
  readonly args?: readonly string[];
  /** The port; unless given, any that is free. */
  readonly port?: number;
}

/** Starts it and waits until it listens. Started again with the same folder and name it goes on with what it has. */
export async function startReceiver(options: ReceiverProcessOptions): Promise<ReceiverProcess> {
  const { folder, name, authorization, keysUrl, args = [], port = 0 } = options;
  const arrivals = new Map<string, Arrival>();
  const authorizationFile = join(folder, `${name}.authorization`);
  const inboxFile = join(folder, `${name}.sqlite`);
  writeFileSync(authorizationFile, authorization, { mode: 0o600 });

  let rest = '';
  function readLines(chunk: string): void {
    const lines = (rest + chunk).split('\n');
    rest = lines.pop() ?? '';
    for (const line of lines) {
      const { id, event }: { id: string; event: AuditEvent } = JSON.parse(line);
      if (!arrivals.has(id)) arrivals.set(id, { event, atMs: performance.now() });
    }
  }

  const decoder = new TextDecoder();
  const child = await startCpis({
    args: [
      ...['receive', '--inbox', inboxFile, '--authorization', authorizationFile, '--keys', keysUrl],
      ...['--format', 'ndjson', '--port', String(port), ...args],
    ],
    env: environmentWithoutSettings(),
    isReady: (output) => output.includes('listening at '),
    onStdout: (chunk) => readLines(decoder.decode(chunk, { stream: true })),
  });
  const endpoint = /listening at (\S+)/.exec(child.output())?.[1] ?? '';
  return {
    origin: new URL(endpoint).origin,
    endpoint,
    arrivals,
    findRepeated() {
      const db = new DatabaseSync(inboxFile, { readOnly: true });
      try {
        return new Set(
          db
            .prepare('SELECT id FROM event WHERE times > 1')
            .all()
            .map(({ id }) => String(id)),
        );
      } finally {
        db.close();
      }
    },
    close: async () => void (await child.stop()),
    killNow: () => child.killNow(),
  };
}
