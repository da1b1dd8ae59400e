/** The log: no URL, header, body or message of an error is ever written, because each may hold an NHS number. */
import { type DestinationStream, type Logger, pino } from 'pino';

interface LogOptions {
  /** A pino level, or `silent`. */
  readonly level: string;
  /** Standard output when absent. */
  readonly destination?: DestinationStream;
}

/** A logger whose `err`, `req` and `res` keep nothing that came from outside; the whole process shares it. */
export function buildLogger(options: LogOptions): Logger {
  const serializers = { err: describeError, req: () => undefined, res: () => undefined };
  const settings = { level: options.level, base: null, timestamp: pino.stdTimeFunctions.isoTime, serializers };
  return options.destination === undefined ? pino(settings) : pino(settings, options.destination);
}

interface ErrorDescription {
  readonly name: string;
  readonly code?: string;
  /** Frames only: the first line of a stack is the message. */
  readonly stack: readonly string[];
  readonly cause?: ErrorDescription;
}

/** Names an error and where it came from, without its message. */
function describeError(error: unknown): ErrorDescription {
  if (!(error instanceof Error)) return { name: typeof error, stack: [] };
  const code = 'code' in error && typeof error.code === 'string' ? error.code : undefined;
  return {
    name: error.name,
    ...(code === undefined ? {} : { code }),
    stack: (error.stack ?? '')
      .split('\n')
      .filter((line) => /^ {4}at /.test(line))
      .map((line) => line.trim()),
    ...(error.cause === undefined ? {} : { cause: describeError(error.cause) }),
  };
}
