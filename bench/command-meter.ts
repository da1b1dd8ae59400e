/** A proxy between the server and MongoDB that counts commands and times their responses. */
import { connect, createServer } from 'node:net';

export interface MeteredCommand {
  /** Such as `find resource`. */
  readonly name: string;
  readonly sentMs: number;
  answeredMs: number | undefined;
}

export interface CommandMeter {
  readonly port: number;
  /** Resets all counts. */
  clear(): void;
  readonly commands: readonly MeteredCommand[];
  close(): Promise<void>;
}

const headerBytes = 16;
const opMessage = 2013;
/**
 * Offset of the command name: after the flags, the section kind, the document length and the type of its first element.
 */
const beforeName = headerBytes + 4 + 1 + 4 + 1;

export async function openCommandMeter(host: string, port: number): Promise<CommandMeter> {
  let commands: MeteredCommand[] = [];
  const server = createServer((inner) => {
    const outer = connect(port, host);
    const waiting = new Map<number, MeteredCommand>();
    const asked = splitMessages((message) => {
      if (message.readInt32LE(12) !== opMessage) return;
      const command = { name: nameOf(message), sentMs: performance.now(), answeredMs: undefined };
      waiting.set(message.readInt32LE(4), command);
      commands.push(command);
    });
    const answered = splitMessages((message) => {
      const to = message.readInt32LE(8);
      const command = waiting.get(to);
      if (command !== undefined) command.answeredMs = performance.now();
      waiting.delete(to);
    });
    inner.setNoDelay(true).on('data', (chunk: Buffer) => {
      asked(chunk);
      outer.write(chunk);
    });
    outer.setNoDelay(true).on('data', (chunk: Buffer) => {
      answered(chunk);
      inner.write(chunk);
    });
    for (const [socket, other] of [
      [inner, outer],
      [outer, inner],
    ] as const) {
      socket.on('error', () => undefined).on('close', () => other.destroy());
    }
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('no port');
  return {
    port: address.port,
    clear() {
      commands = [];
    },
    get commands() {
      return commands;
    },
    close: () => new Promise<void>((resolve) => void server.close(() => resolve())),
  };
}

/** Calls `tell` with each complete message in a stream of chunks. */
function splitMessages(tell: (message: Buffer) => void): (chunk: Buffer) => void {
  let rest: Buffer = Buffer.alloc(0);
  return (chunk) => {
    rest = rest.length === 0 ? chunk : Buffer.concat([rest, chunk]);
    while (rest.length >= headerBytes) {
      const length = rest.readInt32LE(0);
      if (rest.length < length) return;
      tell(rest.subarray(0, length));
      rest = rest.subarray(length);
    }
  };
}

/** Reads the name of a command, its first element, and the collection, the value of that element. */
function nameOf(message: Buffer): string {
  const end = message.indexOf(0, beforeName);
  const name = message.toString('latin1', beforeName, end);
  const isText = message[beforeName - 1] === 2;
  return isText ? `${name} ${message.toString('latin1', end + 5, end + 4 + message.readInt32LE(end + 1))}` : name;
}
