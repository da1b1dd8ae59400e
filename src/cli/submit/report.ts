import { renderCsvRow } from '../render-csv.ts';
import { type RecordResult, recordResponses } from './record-response.ts';

const progressEveryMs = 5_000;

/** The file of results, CSV. */
export function renderResults(results: readonly RecordResult[]): string {
  const header = ['record', 'reference', 'result', 'nhs_response', 'nhs_meaning', 'explanation', 'flag', 'version'];
  const rows = results.map(({ record, reference, response, action, explanation, flag, version }) =>
    renderCsvRow([String(record), reference, action, response, recordResponses[response], explanation, flag, version]),
  );
  return renderCsvRow(header) + rows.join('');
}

/** How many records the server holds as the extract has them. */
export function countLoaded(results: readonly RecordResult[]): number {
  return results.filter(({ response }) => response === 'CPR06').length;
}

/** Says how far it is on standard error: a line that is written over on a terminal, one now and then elsewhere. */
export function openProgress(results: readonly RecordResult[], all: number): () => void {
  let lastMs = Number.NEGATIVE_INFINITY;
  return () => {
    const isLast = results.length === all;
    const nowMs = performance.now();
    if (!process.stderr.isTTY && !isLast && nowMs - lastMs < progressEveryMs) return;
    lastMs = nowMs;
    const text = `${results.length} of ${all} records, ${results.length - countLoaded(results)} not loaded`;
    process.stderr.write(
      process.stderr.isTTY && !isLast ? `\r${text}` : `${process.stderr.isTTY ? '\r' : ''}${text}\n`,
    );
  };
}
