import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { Transform } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { CsvError, parse } from 'csv-parse';
import { CommandError, UsageError } from '../terminal/command-line.ts';
import { type ColumnPlaces, readHeader } from './plan-columns.ts';

export interface Extract {
  readonly places: ColumnPlaces;
  readonly width: number;
  /** Number of records, without the header. */
  readonly records: number;
  /** SHA-256 of the file. */
  readonly fingerprint: string;
}

/** Maximum characters of a record, so that a quote that is never closed does not swallow the rest of the file. */
const maxRecordLength = 64 * 1024;

/** Streams the records of a CSV file (RFC 4180, UTF-8), header first. Throws CommandError if the file is malformed. */
export async function* readRows(file: string): AsyncGenerator<readonly string[]> {
  const parser = parse({
    bom: true,
    relax_column_count: true,
    skip_empty_lines: true,
    max_record_size: maxRecordLength,
  });
  const reading = pipeline(createReadStream(file), openUtf8Check(), parser).catch(() => undefined);
  try {
    for await (const cells of parser as AsyncIterable<string[]>) yield cells;
  } catch (error) {
    throw describe(error);
  } finally {
    parser.destroy();
    await reading;
  }
}

/**
 * Reads the whole file, so that errors are reported before anything is sent. Rejects with CommandError or UsageError.
 */
export async function inspectExtract(file: string, ignoreUnknown: boolean): Promise<Extract> {
  let places: ColumnPlaces | undefined;
  let width = 0;
  let records = 0;
  for await (const cells of readRows(file)) {
    if (places !== undefined) {
      records += 1;
      continue;
    }
    const header = readHeader(cells, ignoreUnknown);
    if (typeof header === 'string') throw new UsageError(`${file}: ${header}.`);
    places = header;
    width = cells.length;
  }
  if (places === undefined) throw new CommandError(`${malformed} it is empty.`);
  const hash = createHash('sha256');
  await pipeline(createReadStream(file), hash);
  return { places, width, records, fingerprint: hash.digest('hex') };
}

const malformed = 'CPF01: the file is malformed and nothing was sent:';

class NotUtf8 extends Error {}

/** Builds a stream that passes bytes through and fails at the first one that is not UTF-8. */
function openUtf8Check(): Transform {
  const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
  const check = (chunk: Buffer | undefined, done: (error: Error | null, chunk?: Buffer) => void): void => {
    try {
      decoder.decode(chunk, { stream: chunk !== undefined });
    } catch {
      done(new NotUtf8());
      return;
    }
    done(null, chunk);
  };
  return new Transform({
    transform: (chunk: Buffer, _encoding, done) => check(chunk, done),
    flush: (done) => check(undefined, done),
  });
}

function describe(error: unknown): Error {
  if (error instanceof NotUtf8)
    return new CommandError(`${malformed} it is not UTF-8. Save the extract as "CSV UTF-8".`);
  if (error instanceof CsvError) {
    const line = Number(error['lines']);
    const what =
      error.code === 'CSV_MAX_RECORD_SIZE' ? 'a quote is not closed, or a record is too long' : 'a quote is misplaced';
    return new CommandError(`${malformed} ${what}${Number.isInteger(line) ? `, near line ${line}` : ''}.`);
  }
  const code = error instanceof Error && 'code' in error ? String(error.code) : undefined;
  if (code !== undefined && /^E[A-Z]+$/.test(code)) return new UsageError(`Cannot read the extract (${code}).`);
  return error instanceof Error ? error : new Error('cannot read the extract');
}
