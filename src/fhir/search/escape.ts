/** Escapes in search values: `\,` `\|` `\$` `\\`. https://hl7.org/fhir/R4/search.html#escaping */

const backslash = 0x5c;
const escapable = ',|$\\';

/** Splits at each separator that is not escaped. The parts are still escaped. */
export function splitEscaped(text: string, separator: ',' | '|'): readonly string[] {
  if (!text.includes(separator)) return [text];
  if (!text.includes('\\')) return text.split(separator);
  const parts: string[] = [];
  let start = 0;
  for (let i = 0; i < text.length; i++) {
    if (text.charCodeAt(i) === backslash) i++;
    else if (text[i] === separator) {
      parts.push(text.slice(start, i));
      start = i + 1;
    }
  }
  parts.push(text.slice(start));
  return parts;
}

/** Removes the escapes. Returns undefined if a backslash precedes a character that needs no escape, or the end. */
export function unescapeValue(text: string): string | undefined {
  if (!text.includes('\\')) return text;
  let plain = '';
  for (let i = 0; i < text.length; i++) {
    if (text.charCodeAt(i) !== backslash) {
      plain += text[i];
      continue;
    }
    i++;
    const escaped = text[i];
    if (escaped === undefined || !escapable.includes(escaped)) return undefined;
    plain += escaped;
  }
  return plain;
}
