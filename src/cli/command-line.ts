import { type ParseArgsOptionsConfig, parseArgs } from 'node:util';

/** Wrong usage, told in words: the process ends with status 2. */
export class UsageError extends Error {
  override readonly name = 'UsageError';
}

/** A command that could not do what it was asked: the message is for the user, `exitCode` for the caller. */
export class CommandError extends Error {
  override readonly name = 'CommandError';
  readonly exitCode: number;

  constructor(message: string, exitCode = 1) {
    super(message);
    this.exitCode = exitCode;
  }
}

/**
 * The options of a command. Throws UsageError for an unknown option, a missing value, or more than `mostPositionals`
 * arguments without a name.
 */
export function readArguments<T extends ParseArgsOptionsConfig>(
  args: readonly string[],
  options: T,
  mostPositionals = 0,
) {
  try {
    const parsed = parseArgs({ args: [...args], options, allowPositionals: mostPositionals > 0, strict: true });
    if (parsed.positionals.length > mostPositionals)
      throw new UsageError('There are more arguments than this command takes.');
    return parsed;
  } catch (error) {
    if (error instanceof TypeError && 'code' in error && String(error.code).startsWith('ERR_PARSE_ARGS_')) {
      throw new UsageError(error.message);
    }
    throw error;
  }
}

/** The value of an option that must be there. */
export function required(value: string | undefined, name: string): string {
  if (value === undefined || value === '') throw new UsageError(`${name} is needed.`);
  return value;
}

/** A whole number within bounds; `fallback` when the option was not given. */
export function wholeNumber(
  text: string | undefined,
  name: string,
  least: number,
  most: number,
  fallback: number,
): number {
  if (text === undefined) return fallback;
  const value = /^\d{1,12}$/.test(text) ? Number(text) : Number.NaN;
  if (!(value >= least && value <= most)) throw new UsageError(`${name} is a whole number from ${least} to ${most}.`);
  return value;
}

/** An absolute http or https URL without user, query and fragment, without a slash at its end. */
export function baseUrlOf(text: string, name: string): string {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  const isBase =
    url !== undefined && /^https?:$/.test(url.protocol) && `${url.username}${url.search}${url.hash}` === '';
  if (!isBase) throw new UsageError(`${name} is an absolute https URL.`);
  const isLoopback = /^(127(\.\d+){3}|localhost|\[::1\])$/.test(url.hostname);
  if (url.protocol === 'http:' && !isLoopback) throw new UsageError(`${name} is https; http only on this machine.`);
  return url.href.replace(/\/+$/, '');
}
