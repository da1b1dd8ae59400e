import { closeSync, fdatasyncSync, ftruncateSync, openSync, readFileSync, writeSync } from 'node:fs';
import { takeFromOthers } from '../../files/exposure.ts';
import type { RecordResult } from './record-response.ts';

/** The durable results so far, from which an interrupted run continues. */
export interface Journal {
  /** In order of the records, from the first, without gaps. */
  readonly results: readonly RecordResult[];
  /** Appends results durably. */
  append(results: readonly RecordResult[]): void;
  close(): void;
}

/**
 * Opens the journal of a submission. A journal with another `identity` is overwritten, because it belongs to another
 * submission or to an extract that has changed. A line cut off by a crash is removed.
 */
export function openJournal(file: string, identity: string): Journal {
  const head = `${JSON.stringify({ submission: identity })}\n`;
  const { results, bytes } = readJournal(file, head);
  takeFromOthers(file);
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

/** Reads the complete lines in order; none if the journal belongs to another submission. */
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
