import type { CommandIo } from '../terminal/command-line.ts';
import { renderCsvRow } from '../terminal/render-csv.ts';
import { type RecordResult, recordResponses } from './record-response.ts';

const progressEveryMs = 5_000;

/** Renders the results as CSV. */
export function renderResults(results: readonly RecordResult[]): string {
  const header = ['record', 'reference', 'result', 'nhs_response', 'nhs_meaning', 'explanation', 'flag', 'version'];
  const rows = results.map(({ record, reference, response, action, explanation, flag, version }) =>
    renderCsvRow([String(record), reference, action, response, recordResponses[response], explanation, flag, version]),
  );
  return renderCsvRow(header) + rows.join('');
}

/** Counts the loaded records. */
export function countLoaded(results: readonly RecordResult[]): number {
  return results.filter(({ response }) => response === 'CPR06').length;
}

/**
 * Returns a function that shows the progress: one line that is overwritten on a terminal, or a line every 5 s
 * elsewhere.
 */
export function openProgress(results: readonly RecordResult[], all: number, stderr: CommandIo['stderr']): () => void {
  let lastMs = Number.NEGATIVE_INFINITY;
  return () => {
    const isLast = results.length === all;
    const nowMs = performance.now();
    if (!stderr.isTTY && !isLast && nowMs - lastMs < progressEveryMs) return;
    lastMs = nowMs;
    const text = `${results.length} of ${all} records, ${results.length - countLoaded(results)} not loaded`;
    stderr.write(stderr.isTTY && !isLast ? `\r${text}` : `${stderr.isTTY ? '\r' : ''}${text}\n`);
  };
}
