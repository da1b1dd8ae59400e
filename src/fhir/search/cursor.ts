/**
 * Sealed cursors, each with the end of a page. A cursor is a bookmark and never proof of authorisation: every page
 * parses, authorises and audits its search again.
 */
import { createCipheriv, createDecipheriv, createHash, type KeyObject, randomBytes } from 'node:crypto';
import { type FhirFault, fault } from '../fault.ts';
import type { KeysetPosition } from './ast.ts';

/** The caller and search that a cursor is valid for. The cursor holds short hashes of both. */
export interface CursorBinding {
  /** Identifies the caller, in the same form on every page. */
  readonly caller: string;
  /** The search without its cursor, in canonical form. */
  readonly query: string;
}

/** Must have 32 bytes. */
export type CursorKey = KeyObject | Uint8Array;

export interface OpenCursorOptions {
  readonly binding: CursorBinding;
  /** The keys that may have sealed it. */
  readonly keys: readonly CursorKey[];
  readonly nowMs: number;
  readonly maxAgeMs: number;
}

/** The start of a page. */
export interface PageStart {
  readonly position: KeysetPosition;
  /** The starts of the nearest earlier pages, the nearest last; null for the first page. */
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
/** Payloads are padded to a multiple of this length, so that the length of a cursor does not disclose its position. */
const blockLength = 512;
const hashLength = 24;

/**
 * Builds the text of `_cursor`: base64url of IV, tag and AES-256-GCM ciphertext. It is encrypted because a position may
 * come from a sequence shared by all clients, which would disclose how active the others are.
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
 * Decrypts a cursor and returns the start of its page. Throws a fault `invalid` for a cursor that was not sealed with one
 * of the keys or belongs to another search, `forbidden` for that of another caller, and `gone` if it is older than
 * `maxAgeMs`.
 */
export function openCursor(text: string, options: OpenCursorOptions): PageStart {
  const { binding, keys } = options;
  const payload = decrypt(text, keys);
  if (payload.c !== hash(binding.caller)) {
    throw refuse('forbidden', 'The cursor was issued to another client. Start the search again.');
  }
  if (payload.q !== hash(binding.query)) {
    throw refuse('invalid', 'The cursor belongs to another search. Use the next link unchanged.');
  }
  if (options.nowMs - payload.t > options.maxAgeMs) {
    throw fault('gone', 'The cursor has expired. Start the search again.', {
      code: 'expired',
      expression: ['_cursor'],
    });
  }
  return { position: payload.p, before: payload.b };
}

function refuse(category: 'invalid' | 'forbidden', diagnostics: string): FhirFault {
  return fault(category, diagnostics, { expression: ['_cursor'] });
}

function decrypt(text: string, keys: readonly CursorKey[]): Payload {
  const bytes = Buffer.from(text, 'base64url');
  if (bytes.length > ivBytes + tagBytes && bytes.toString('base64url') === text) {
    for (const key of keys) {
      const payload = decryptWith(bytes, key);
      if (payload !== undefined) return payload;
    }
  }
  throw refuse('invalid', 'The cursor was not issued by this server. Use the next link unchanged.');
}

function decryptWith(bytes: Buffer, key: CursorKey): Payload | undefined {
  const decipher = createDecipheriv(algorithm, key, bytes.subarray(0, ivBytes), { authTagLength: tagBytes });
  decipher.setAuthTag(bytes.subarray(ivBytes, ivBytes + tagBytes));
  const opened = decipher.update(bytes.subarray(ivBytes + tagBytes));
  try {
    return JSON.parse(Buffer.concat([opened, decipher.final()]).toString()) as Payload;
  } catch {
    return undefined;
  }
}

function hash(text: string): string {
  return createHash('sha256').update(text).digest('base64url').slice(0, hashLength);
}
