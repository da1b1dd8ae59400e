import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { performance } from 'node:perf_hooks';
import { DatabaseSync } from 'node:sqlite';
import type { AuditEvent } from 'fhir/r4.js';
import { environmentWithoutSettings, startCpis } from './cpis-process.ts';

/** An AuditEvent that the receiver has stored. */
export interface Arrival {
  readonly event: AuditEvent;
  /** `performance.now()` when the receiver printed it. */
  readonly atMs: number;
}

/** `cpis receive` in its own process: the endpoint of a local authority. */
export interface ReceiverProcess {
  /** `http://127.0.0.1:<port>` */
  readonly origin: string;
  /** The URL for Subscription.channel.endpoint. */
  readonly endpoint: string;
  /** By AuditEvent.id, in order of arrival. */
  readonly arrivals: ReadonlyMap<string, Arrival>;
  /** Returns ids of events that arrived more than once, for example after a crash of the server. */
  findRepeated(): ReadonlySet<string>;
  close(): Promise<void>;
  /** Sends SIGKILL without waiting, for an `exit` handler. */
  killNow(): void;
}

export interface ReceiverProcessOptions {
  readonly folder: string;
  /** Name of the files in the folder. */
  readonly name: string;
  /** The Authorization header that the receiver requires. */
  readonly authorization: string;
  /** URL of the server's notification keys. */
  readonly keysUrl: string;
  /** Further options of the command. */
  readonly args?: readonly string[];
  /** Default: a free port. */
  readonly port?: number;
}

/** Starts a receiver and waits until it listens. With the same folder and name it continues with its inbox. */
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
