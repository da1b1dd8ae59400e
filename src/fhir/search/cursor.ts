/**
 * Cursors: where a page ended, sealed. A cursor is a bookmark and never proof of authorisation: the search it belongs to
 * is parsed, authorised and audited anew on each page.
 */
import { createCipheriv, createDecipheriv, createHash, type KeyObject, randomBytes } from 'node:crypto';
import { type FhirFault, fault } from '../fault.ts';
import type { KeysetPosition } from './ast.ts';

/** What a cursor is good for. Only short hashes of both travel in it. */
export interface CursorBinding {
  /** Who searches, in a form that is the same on every page. */
  readonly caller: string;
  /** The search without its cursor, in a canonical form. */
  readonly query: string;
}

/** 32 bytes. */
export type CursorKey = KeyObject | Uint8Array;

export interface OpenCursorOptions {
  readonly binding: CursorBinding;
  readonly key: CursorKey;
  readonly nowMs: number;
  readonly maxAgeMs: number;
}

/** Where a page begins. */
export interface PageStart {
  readonly position: KeysetPosition;
  /** Where the nearest pages before it began, the nearest last; null is the first page. */
  readonly before: readonly (KeysetPosition | null)[];
}

interface Payload {
  readonly p: KeysetPosition;
  readonly b: PageStart['before'];
  readonly t: number;
  readonly c: string;
  readonly q: string;
}

const algorithm = 'aes-256-gcm';
const ivBytes = 12;
const tagBytes = 16;
/** Payloads are filled up to a multiple of it, so that the length tells nothing of the position. */
const blockLength = 512;
const hashLength = 24;

/**
 * The text of `_cursor`: base64url of IV, tag and AES-256-GCM ciphertext. A position may be one in a sequence that all
 * clients share, and would tell how much the others do.
 */
export function sealCursor(
  cursor: PageStart & { readonly binding: CursorBinding; readonly issuedMs: number },
  key: CursorKey,
): string {
  const payload: Payload = {
    p: cursor.position,
    b: cursor.before,
    t: cursor.issuedMs,
    c: hash(cursor.binding.caller),
    q: hash(cursor.binding.query),
  };
  const json = Buffer.from(JSON.stringify(payload));
  const filled = Buffer.alloc(Math.ceil(json.length / blockLength) * blockLength, ' ');
  json.copy(filled);
  const iv = randomBytes(ivBytes);
  const cipher = createCipheriv(algorithm, key, iv);
  const sealed = Buffer.concat([cipher.update(filled), cipher.final()]);
  return Buffer.concat([iv, cipher.getAuthTag(), sealed]).toString('base64url');
}

/**
 * The start of the page that a cursor leads to. Throws FhirFault: `invalid` for what was not sealed with this key or belongs to another
 * search, `forbidden` for another caller's cursor, `gone` for one older than `maxAgeMs`.
 */
export function openCursor(text: string, options: OpenCursorOptions): PageStart {
  const { binding, key } = options;
  const payload = decrypt(text, key);
  if (payload.c !== hash(binding.caller)) {
    throw refuse('forbidden', 'The cursor was given to another client.');
  }
  if (payload.q !== hash(binding.query)) {
    throw refuse('invalid', 'The cursor belongs to another search: follow the next link unchanged.');
  }
  if (options.nowMs - payload.t > options.maxAgeMs) {
    throw fault('gone', 'The cursor has expired: start the search again.', {
      code: 'expired',
      expression: ['_cursor'],
    });
  }
  return { position: payload.p, before: payload.b };
}

function refuse(category: 'invalid' | 'forbidden', diagnostics: string): FhirFault {
  return fault(category, diagnostics, { expression: ['_cursor'] });
}

function decrypt(text: string, key: CursorKey): Payload {
  const bytes = Buffer.from(text, 'base64url');
  const notOurs = (): FhirFault => refuse('invalid', 'The cursor is not one that this server gave.');
  if (bytes.length <= ivBytes + tagBytes || bytes.toString('base64url') !== text) throw notOurs();
  const decipher = createDecipheriv(algorithm, key, bytes.subarray(0, ivBytes), { authTagLength: tagBytes });
  decipher.setAuthTag(bytes.subarray(ivBytes, ivBytes + tagBytes));
  const opened = decipher.update(bytes.subarray(ivBytes + tagBytes));
  try {
    return JSON.parse(Buffer.concat([opened, decipher.final()]).toString()) as Payload;
  } catch {
    throw notOurs();
  }
}

function hash(text: string): string {
  return createHash('sha256').update(text).digest('base64url').slice(0, hashLength);
}
