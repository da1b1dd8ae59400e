/**
 * The stored form of an AuditEvent's text. A text that many events share is stored once in audit_text, under the hash of its
 * content; the body has a mark and the hash in its place. JSON text has no control characters, so the mark is unambiguous.
 */
import { createHash } from 'node:crypto';
import type { AuditWrite, SharedText } from '../../audit-write.ts';

const mark = '\u0001';
const keyLength = 22;

/** A shared text as a row of audit_text. */
export type TextRow = readonly [key: string, text: string];

interface EncodedText {
  readonly body: string;
  /** Rows that the body needs and that may not be in audit_text yet. */
  readonly texts: readonly TextRow[];
}

export interface TextEncoder {
  /** Encodes `pieces` if the event has them, else its whole text. */
  encode(audit: Pick<AuditWrite, 'body' | 'pieces'>): EncodedText;
  /** Call when the unit with these rows is durable, so that they are not written again. */
  confirm(texts: readonly TextRow[]): void;
}

/** Returns about 128 bits of SHA-256, so that a text has the same key in every process. */
function textKey(text: string): string {
  return createHash('sha256').update(text).digest('base64url').slice(0, keyLength);
}

interface KnownText {
  readonly row: TextRow;
  durable: boolean;
}

/** Returns an encoder that does not yet know which texts are stored. */
export function openTextEncoder(): TextEncoder {
  const known = new WeakMap<SharedText, KnownText>();
  const waiting = new Map<string, KnownText[]>();
  const know = (shared: SharedText): KnownText => {
    const entry: KnownText = { row: [textKey(shared.text), shared.text], durable: false };
    known.set(shared, entry);
    const [key] = entry.row;
    waiting.set(key, [...(waiting.get(key) ?? []), entry]);
    return entry;
  };
  return {
    encode(audit) {
      const { pieces } = audit;
      if (pieces === undefined) return { body: audit.body, texts: [] };
      let body = '';
      const texts: TextRow[] = [];
      for (const piece of pieces) {
        if (typeof piece === 'string') {
          body += piece;
          continue;
        }
        const { row, durable } = known.get(piece) ?? know(piece);
        body += mark + row[0];
        if (!durable) texts.push(row);
      }
      return { body, texts };
    },
    confirm(texts) {
      for (const [key] of texts) {
        for (const entry of waiting.get(key) ?? []) entry.durable = true;
        waiting.delete(key);
      }
    },
  };
}

/** Returns the whole text of a stored body. `textOf` returns the text of a key. */
export function expandText(body: string, textOf: (key: string) => string): string {
  const [first = '', ...rest] = body.split(mark);
  return first + rest.map((part) => textOf(part.slice(0, keyLength)) + part.slice(keyLength)).join('');
}
