import { parse } from 'csv-parse/sync';
import { isNhsNumber } from '../../cpis/nhs-number.ts';
import { UsageError } from './command-line.ts';
import { readFileOf } from './read-file.ts';

const column = 'nhs_number';
const maxReported = 10;

/**
 * Reads the NHS numbers of a list that an option names: a CSV file with a column nhs_number, or a file with one number in each line. Each is
 * returned once. Throws UsageError for a number that cannot be; it names the lines only.
 */
export function readNumbers(option: string, file: string): readonly string[] {
  const rows = readRows(option, file);
  const [first = []] = rows;
  const place = first.findIndex((cell) => cell.trim().toLowerCase() === column);
  if (place < 0 && first.length !== 1) throw new UsageError(`${file}: has no column ${column}.`);
  const listed = rows
    .slice(place < 0 ? 0 : 1)
    .map((cells) => (cells[Math.max(place, 0)] ?? '').replaceAll(/[\s-]/g, ''));
  const wrong = listed.flatMap((number, index) => (isNhsNumber(number) ? [] : [index + (place < 0 ? 1 : 2)]));
  if (wrong.length > 0) {
    const more = wrong.length > maxReported ? ' and more' : '';
    const lines = wrong.slice(0, maxReported).join(', ');
    throw new UsageError(`${file}: has no correct NHS number in record ${lines}${more}. Nothing was sent.`);
  }
  if (listed.length === 0) throw new UsageError(`${file}: has no NHS number.`);
  return [...new Set(listed)];
}

function readRows(option: string, file: string): readonly string[][] {
  try {
    return parse(readFileOf(option, file), { bom: true, relax_column_count: true, skip_empty_lines: true });
  } catch (error) {
    if (error instanceof UsageError) throw error;
    throw new UsageError(`${file}: is not a CSV file. Nothing was sent.`);
  }
}
