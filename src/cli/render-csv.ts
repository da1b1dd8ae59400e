/** One CSV record with its line end. RFC 4180: quoted where a cell holds a comma, a quote or a line break. */
export function renderCsvRow(cells: readonly string[]): string {
  const quoted = cells.map((cell) => (/[",\r\n]|^\s|\s$/.test(cell) ? `"${cell.replaceAll('"', '""')}"` : cell));
  return `${quoted.join(',')}\r\n`;
}

/** A cell of foreign text that a spreadsheet must not take for a formula: an apostrophe goes before it. */
export function defuseCell(cell: string): string {
  return /^[=+\-@\t\r]/.test(cell) ? `'${cell}` : cell;
}
