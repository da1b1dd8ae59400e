import { type ParseArgsOptionsConfig, parseArgs } from 'node:util';

/** The standard streams of a command; `process` is one. */
export interface CommandIo {
  readonly stdin: NodeJS.ReadableStream;
  readonly stdout: CommandOutput;
  readonly stderr: CommandOutput;
}

interface CommandOutput {
  write(text: string): unknown;
  readonly isTTY?: boolean;
}

/** Wrong usage. The process prints the message and ends with status 2. */
export class UsageError extends Error {
  override readonly name = 'UsageError';
}

/** A command that failed. The process prints the message and ends with `exitCode`. */
export class CommandError extends Error {
  override readonly name = 'CommandError';
  readonly exitCode: number;

  constructor(message: string, exitCode = 1) {
    super(message);
    this.exitCode = exitCode;
  }
}

/**
 * Parses the options of a command. Throws UsageError for an unknown option, a missing value, or more than
 * `maxPositionals` arguments without a name.
 */
export function readArguments<T extends ParseArgsOptionsConfig>(
  args: readonly string[],
  options: T,
  maxPositionals = 0,
) {
  try {
    const parsed = parseArgs({ args: [...args], options, allowPositionals: maxPositionals > 0, strict: true });
    if (parsed.positionals.length > maxPositionals) {
      throw new UsageError(`This command accepts only ${maxPositionals} argument; remove the others.`);
    }
    return parsed;
  } catch (error) {
    if (error instanceof TypeError && 'code' in error && String(error.code).startsWith('ERR_PARSE_ARGS_')) {
      throw new UsageError(error.message);
    }
    throw error;
  }
}

/** Returns the value of a required option. Throws UsageError if it is missing. */
export function required(value: string | undefined, name: string): string {
  if (value === undefined || value === '') throw new UsageError(`${name} is required.`);
  return value;
}

/** Parses a whole number from `min` to `max`, or returns `fallback` if the option is missing. Throws UsageError. */
export function wholeNumber(
  text: string | undefined,
  name: string,
  min: number,
  max: number,
  fallback: number,
): number {
  if (text === undefined) return fallback;
  const value = /^\d{1,12}$/.test(text) ? Number(text) : Number.NaN;
  if (!(value >= min && value <= max)) throw new UsageError(`${name} must be a whole number from ${min} to ${max}.`);
  return value;
}

/**
 * Returns an absolute URL without user, query and fragment, and without its trailing slash. Throws UsageError for any
 * other, and for http to another machine.
 */
export function baseUrlOf(text: string, name: string): string {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  const isBase =
    url !== undefined && /^https?:$/.test(url.protocol) && `${url.username}${url.search}${url.hash}` === '';
  if (!isBase) throw new UsageError(`${name} must be an absolute https URL without user, query or fragment.`);
  const isLoopback = /^(127(\.\d+){3}|localhost|\[::1\])$/.test(url.hostname);
  if (url.protocol === 'http:' && !isLoopback) {
    throw new UsageError(`${name} must be an https URL; http is allowed only for a server on this machine.`);
  }
  return url.href.replace(/\/+$/, '');
}
