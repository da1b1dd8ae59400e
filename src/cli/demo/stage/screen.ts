import { styleText } from 'node:util';

/** The output of the demo: styled on a terminal, plain text elsewhere or if NO_COLOR is set. */
export interface Screen {
  /** Writes the heading of a step. */
  step(number: number, title: string): void;
  line(text?: string): void;
  /** Writes an explanation. */
  note(text: string): void;
  /** Writes a table with columns as wide as their widest cell. */
  table(rows: readonly (readonly string[])[], headings?: readonly string[]): void;
  /** Writes a fact that was checked, and whether it held. */
  fact(name: string, held: boolean, detail?: string): void;
}

type Style = Parameters<typeof styleText>[0];

const rulerWidth = 92;

/**
 * Opens a screen on a stream, which decides about styles:
 * https://nodejs.org/docs/latest-v24.x/api/util.html#utilstyletextformat-text-options
 */
export function openScreen(stream: NodeJS.WritableStream): Screen {
  const style = (format: Style, text: string): string => styleText(format, text, { stream });
  const write = (text: string): void => {
    stream.write(`${text}\n`);
  };
  return {
    step(number, title) {
      const text = `${number}  ${title} `;
      write(`\n${style('bold', text)}${style('dim', '─'.repeat(Math.max(0, rulerWidth - text.length)))}`);
    },
    line: (text = '') => write(text === '' ? '' : `   ${text}`),
    note: (text) => write(`   ${style('dim', text)}`),
    table(rows, headings) {
      const all = headings === undefined ? rows : [headings, ...rows];
      const widths: number[] = [];
      for (const row of all) {
        for (const [column, cell] of row.entries()) widths[column] = Math.max(widths[column] ?? 0, cell.length);
      }
      for (const [index, row] of all.entries()) {
        const text = row
          .map((cell, column) => cell.padEnd(widths[column] ?? 0))
          .join('  ')
          .trimEnd();
        write(`   ${index === 0 && headings !== undefined ? style('dim', text) : text}`);
      }
    },
    fact(name, held, detail) {
      const mark = held ? style('green', '✓') : style(['red', 'bold'], '✗');
      write(`   ${mark} ${held ? name : style('red', name)}${detail === undefined ? '' : style('dim', `  ${detail}`)}`);
    },
  };
}
