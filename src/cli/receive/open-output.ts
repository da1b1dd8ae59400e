import { closeSync, fstatSync, ftruncateSync, openSync, writeSync } from 'node:fs';
import { defuseCell, renderCsvRow } from '../render-csv.ts';
import { type Access, describeAccess, renderAccessLine } from './describe-access.ts';
import type { Inbox, KeptEvent } from './inbox.ts';

export const outputFormats = ['lines', 'ndjson', 'csv'] as const;
export type OutputFormat = (typeof outputFormats)[number];

/** Where each access is told to people or to another program, in the order of arrival. */
export interface Output {
  /** Writes what the inbox has beyond what has been written. */
  catchUp(): void;
  close(): void;
}

const accessColumns = [
  ...['recorded', 'action', 'interaction', 'nhsNumber', 'professional', 'role'],
  ...['organisation', 'organisationCode', 'actingAuthority'],
] as const satisfies readonly (keyof Access)[] | readonly string[];

const csvHeader = ['seq', 'id', 'received', 'subscription', 'number', ...accessColumns];

function render(event: KeptEvent, format: OutputFormat): string {
  const access = describeAccess(event.resource ?? undefined);
  if (format === 'lines') return `${renderAccessLine(access)}\n`;
  const received = new Date(event.receivedMs).toISOString();
  const { seq, id, subscription, number } = event;
  if (format === 'csv') {
    const cells = [String(seq), id, received, subscription ?? '', number === null ? '' : String(number)];
    return renderCsvRow([...cells, ...Object.values(access)].map(defuseCell));
  }
  const resource: unknown = event.resource === null ? undefined : JSON.parse(event.resource);
  return `${JSON.stringify({ seq, id, received, subscription, number, access, event: resource })}\n`;
}

/**
 * Opens the output: a file, or standard output when none is named. The inbox remembers how far it is. What a crash left half
 * written in a file is taken away and written again, so that each access stands there once; on standard output the last ones may
 * come twice, with the same `seq`.
 */
export function openOutput(inbox: Inbox, format: OutputFormat, file: string | undefined): Output {
  const header = format === 'csv' ? renderCsvRow(csvHeader) : '';
  const handle = file === undefined ? 1 : openSync(file, 'a', 0o600);
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

/** A pipe whose reader is slow takes nothing for a while. */
function writeSome(handle: number, chunk: Buffer, from: number): number {
  try {
    return writeSync(handle, chunk, from);
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'EAGAIN')) throw error;
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 5);
    return 0;
  }
}
