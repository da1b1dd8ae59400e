import { closeSync, fdatasyncSync, ftruncateSync, openSync, readFileSync, writeSync } from 'node:fs';
import type { RecordResult } from './record-response.ts';

/** The results so far, durable: what a run that was cut off goes on from. */
export interface Journal {
  /** In order of the records, from the first one on without a gap. */
  readonly results: readonly RecordResult[];
  /** Durable when it returns. */
  append(results: readonly RecordResult[]): void;
  close(): void;
}

/**
 * Opens the journal of this very submission, `identity`: that of another one, or of an extract that has changed, is begun anew.
 * A line that a crash cut off is taken away.
 */
export function openJournal(file: string, identity: string): Journal {
  const head = `${JSON.stringify({ submission: identity })}\n`;
  const { results, bytes } = readJournal(file, head);
  const handle = openSync(file, bytes === 0 ? 'w' : 'r+', 0o600);
  ftruncateSync(handle, bytes);
  let end = bytes;
  const write = (text: string): void => {
    const chunk = Buffer.from(text);
    let written = 0;
    while (written < chunk.length) written += writeSync(handle, chunk, written, chunk.length - written, end + written);
    end += chunk.length;
    fdatasyncSync(handle);
  };
  if (bytes === 0) write(head);
  return {
    results,
    append(more) {
      write(more.map((result) => `${JSON.stringify(result)}\n`).join(''));
      results.push(...more);
    },
    close: () => closeSync(handle),
  };
}

/** What is whole and in order; nothing where the journal is another submission's. */
function readJournal(file: string, head: string): { readonly results: RecordResult[]; readonly bytes: number } {
  const results: RecordResult[] = [];
  const text = readText(file);
  if (!text.startsWith(head)) return { results, bytes: 0 };
  let end = head.length;
  for (let next = text.indexOf('\n', end); next >= 0; next = text.indexOf('\n', end)) {
    const result = parse(text.slice(end, next));
    if (result?.record !== results.length + 1) break;
    results.push(result);
    end = next + 1;
  }
  return { results, bytes: Buffer.byteLength(text.slice(0, end)) };
}

function readText(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return '';
    throw error;
  }
}

function parse(line: string): RecordResult | undefined {
  try {
    return JSON.parse(line);
  } catch {
    return undefined;
  }
}
