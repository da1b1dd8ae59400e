import { closeSync, fchmodSync, fstatSync, ftruncateSync, openSync, writeSync } from 'node:fs';
import { renderCsvRow } from '../terminal/render-csv.ts';
import { type Access, describeAccess, renderAccessLine } from './describe-access.ts';
import type { Inbox, StoredEvent } from './inbox.ts';

export const outputFormats = ['lines', 'ndjson', 'csv'] as const;
export type OutputFormat = (typeof outputFormats)[number];

/** Writes each access for people or for another program, in order of arrival. */
export interface Output {
  /** Writes the accesses that are not written yet. */
  catchUp(): void;
  close(): void;
}

const accessColumns = [
  ...['recorded', 'action', 'interaction', 'nhsNumber', 'professional', 'role'],
  ...['organisation', 'organisationCode', 'actingAuthority', 'plan', 'date', 'newNhsNumber'],
] as const satisfies readonly (keyof Access)[];

const csvHeader = ['seq', 'id', 'received', 'subscription', 'number', ...accessColumns];

function render(event: StoredEvent, format: OutputFormat): string {
  const access = describeAccess(event.resource ?? undefined);
  if (format === 'lines') return `${renderAccessLine(access)}\n`;
  const received = new Date(event.receivedMs).toISOString();
  const { seq, id, subscription, number } = event;
  if (format === 'csv') {
    const cells = [String(seq), id, received, subscription ?? '', number === null ? '' : String(number)];
    return renderCsvRow([...cells, ...accessColumns.map((column) => access[column])]);
  }
  const resource: unknown = event.resource === null ? undefined : JSON.parse(event.resource);
  return `${JSON.stringify({ seq, id, received, subscription, number, access, event: resource })}\n`;
}

/**
 * Opens the output, a file or standard output; the inbox stores its progress. After a crash the file is cut back to the
 * last stored length, so that it holds each access once. Standard output may repeat the last accesses, with the same
 * `seq`.
 */
export function openOutput(inbox: Inbox, format: OutputFormat, file: string | undefined): Output {
  const header = format === 'csv' ? renderCsvRow(csvHeader) : '';
  const handle = file === undefined ? 1 : openSync(file, 'a', 0o600);
  if (file !== undefined && fstatSync(handle).isFile()) fchmodSync(handle, 0o600);
  if (file !== undefined) {
    const { bytes } = inbox.output;
    if (fstatSync(handle).size < bytes) inbox.output = { seq: 0, bytes: 0 };
    ftruncateSync(handle, inbox.output.bytes);
  }
  if (header !== '' && (file === undefined || inbox.output.bytes === 0)) write(header, inbox.output.seq);

  function write(text: string, seq: number): void {
    const chunk = Buffer.from(text);
    try {
      for (let written = 0; written < chunk.length; ) written += writeSome(handle, chunk, written);
    } catch (error) {
      if (file !== undefined) ftruncateSync(handle, inbox.output.bytes);
      throw error;
    }
    inbox.output = { seq, bytes: inbox.output.bytes + chunk.length };
  }

  return {
    catchUp() {
      for (const event of inbox.eventsAfter(inbox.output.seq)) write(render(event, format), event.seq);
    },
    close() {
      if (file !== undefined) closeSync(handle);
    },
  };
}

/** Writes part of a chunk and returns its length; waits 5 ms and returns 0 if a pipe is full. */
function writeSome(handle: number, chunk: Buffer, from: number): number {
  try {
    return writeSync(handle, chunk, from);
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'EAGAIN')) throw error;
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 5);
    return 0;
  }
}
