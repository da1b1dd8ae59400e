/** Encodes an AuditEvent for the writer thread as one text, which is much cheaper to copy between threads than columns. */
import type { AuditWrite } from '../../audit-write.ts';
import { renderAuditKeys } from './audit-key.ts';
import type { TextEncoder, TextRow } from './audit-text.ts';

/** The columns of `audit` without the sequence number, and the rows of `audit_text` that the body needs. */
export interface AuditRow {
  readonly id: string;
  readonly recordedMs: number;
  readonly type: string;
  readonly subtype: string;
  readonly action: string;
  readonly outcome: string;
  readonly present: number;
  readonly keys: string;
  readonly body: string;
  /** A JSON list. */
  readonly deliverTo: string;
  readonly texts: readonly TextRow[];
}

/** Occurs in no column: each is JSON text, a number, an id or a code. */
const separator = '\u0002';

export interface RenderedAudit {
  readonly row: string;
  /** The rows of `audit_text` in `row`. */
  readonly texts: readonly TextRow[];
}

/** Renders the text that `parseAuditRow` parses. */
export function renderAuditRow(audit: AuditWrite, encoder: TextEncoder): RenderedAudit {
  const { id, recordedMs, type, subtype, action, outcome, deliverTo } = audit;
  const { keys, present } = renderAuditKeys(audit);
  const { body, texts } = encoder.encode(audit);
  const authorities = deliverTo.length === 0 ? '[]' : JSON.stringify([...new Set(deliverTo)]);
  const row =
    `${id}${separator}${recordedMs}${separator}${type}${separator}${subtype}${separator}${action}${separator}` +
    `${outcome}${separator}${present}${separator}${keys}${separator}${body}${separator}${authorities}${separator}` +
    (texts.length === 0 ? '' : JSON.stringify(texts));
  return { row, texts };
}

export function parseAuditRow(text: string): AuditRow {
  const [
    id = '',
    recordedMs,
    type = '',
    subtype = '',
    action = '',
    outcome = '',
    present,
    keys = '',
    body = '',
    deliverTo = '',
    texts = '',
  ] = text.split(separator);
  return {
    id,
    recordedMs: Number(recordedMs),
    type,
    subtype,
    action,
    outcome,
    present: Number(present),
    keys,
    body,
    deliverTo,
    texts: texts === '' ? [] : (JSON.parse(texts) as readonly TextRow[]),
  };
}
