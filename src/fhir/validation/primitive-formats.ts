import type { Definitions } from '../definitions/definitions.ts';
import { isNarrative } from './xhtml.ts';

const structuredDate = /^(\d{4})-(\d{2})-(\d{2})/;

/**
 * Allows no control characters except tab, line feed and return, no lone surrogates, and not only white space (R4
 * string).
 */
function isText(value: string): boolean {
  return /^[\t\n\r\u0020-\uffff]*$/.test(value) && /\S/.test(value) && value.isWellFormed();
}

/** Checks base64 in linear time. The regular expression that R4 prints can backtrack without end. */
function isBase64(value: string): boolean {
  const compact = value.replace(/\s+/g, '');
  return compact.length > 0 && compact.length % 4 === 0 && /^[0-9a-zA-Z+/]+={0,2}$/.test(compact);
}

function isCalendarDate(value: string): boolean {
  const [, year, month, day] = structuredDate.exec(value) ?? [];
  if (year === undefined || month === undefined || day === undefined) return true;
  const lastDay = new Date(0);
  lastDay.setUTCFullYear(Number(year), Number(month), 0);
  return Number(day) <= lastDay.getUTCDate();
}

const replaced: Readonly<Record<string, (value: string) => boolean>> = {
  string: isText,
  markdown: isText,
  base64Binary: isBase64,
  xhtml: (value) => isText(value) && isNarrative(value),
};

/** Returns the test of each string-like primitive type: the anchored R4 expression, not empty, and an existing day. */
export function primitiveFormats(definitions: Definitions): ReadonlyMap<string, (value: string) => boolean> {
  const formats = new Map<string, (value: string) => boolean>();
  for (const [name, expression] of definitions.primitives) {
    const regex = new RegExp(`^(?:${expression ?? '[^]*'})$`, 'u');
    const isDated = name === 'date' || name === 'dateTime' || name === 'instant';
    formats.set(
      name,
      replaced[name] ??
        ((value) =>
          value.length > 0 && regex.test(value) && value.isWellFormed() && (!isDated || isCalendarDate(value))),
    );
  }
  return formats;
}
