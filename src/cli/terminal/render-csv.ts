/**
 * Renders one CSV record with its line end, quoted as RFC 4180 requires. Text that a spreadsheet would run as a formula gets
 * an apostrophe in front of it.
 */
export function renderCsvRow(cells: readonly string[]): string {
  const quoted = cells
    .map(defuse)
    .map((cell) => (/[",\r\n]|^\s|\s$/.test(cell) ? `"${cell.replaceAll('"', '""')}"` : cell));
  return `${quoted.join(',')}\r\n`;
}

function defuse(cell: string): string {
  return /^(?:[\t\r\n]|[\p{Z}\p{C}]*[=+\-@\uff1d\uff0b\uff0d\uff20])/u.test(cell) ? `'${cell}` : cell;
}
