/**
 * Cursors: where a page ended, sealed. A cursor is a bookmark and never proof of authorisation: the search it belongs to
 * is parsed, authorised and audited anew on each page.
 */
import { createHmac, type KeyObject, timingSafeEqual } from 'node:crypto';
import { type FhirFault, fault } from '../fault.ts';
import type { KeysetPosition } from './ast.ts';

/** What a cursor is good for. Only short keyed hashes of both travel in it. */
export interface CursorBinding {
  /** Who searches, in a form that is the same on every page. */
  readonly caller: string;
  /** The search without its cursor, in a canonical form. */
  readonly query: string;
}

export type CursorKey = KeyObject | Uint8Array;

export interface OpenCursorOptions {
  readonly binding: CursorBinding;
  readonly key: CursorKey;
  readonly nowMs: number;
  readonly maxAgeMs: number;
}

interface Payload {
  readonly p: KeysetPosition;
  readonly t: number;
  readonly c: string;
  readonly q: string;
}

const macLength = 43;
const hashLength = 16;

/** The text of `_cursor`: base64url JSON, a dot, and its HMAC-SHA-256. */
export function sealCursor(
  cursor: { readonly position: KeysetPosition; readonly binding: CursorBinding; readonly issuedMs: number },
  key: CursorKey,
): string {
  const payload: Payload = {
    p: cursor.position,
    t: cursor.issuedMs,
    c: shortHash('caller', cursor.binding.caller, key),
    q: shortHash('query', cursor.binding.query, key),
  };
  const text = Buffer.from(JSON.stringify(payload)).toString('base64url');
  return `${text}.${mac('cursor', text, key)}`;
}

/**
 * The position that a cursor holds. Throws FhirFault: `invalid` for what was not sealed with this key or belongs to another
 * search, `forbidden` for another caller's cursor, `gone` for one older than `maxAgeMs`.
 */
export function openCursor(text: string, options: OpenCursorOptions): KeysetPosition {
  const { binding, key } = options;
  const dot = text.indexOf('.');
  const body = text.slice(0, Math.max(dot, 0));
  const signature = text.slice(dot + 1);
  if (body === '' || signature.length !== macLength || !isEqual(signature, mac('cursor', body, key))) {
    throw refuse('invalid', 'The cursor is not one that this server gave.');
  }
  const payload = JSON.parse(Buffer.from(body, 'base64url').toString()) as Payload;
  if (!isEqual(payload.c, shortHash('caller', binding.caller, key))) {
    throw refuse('forbidden', 'The cursor was given to another client.');
  }
  if (!isEqual(payload.q, shortHash('query', binding.query, key))) {
    throw refuse('invalid', 'The cursor belongs to another search: follow the next link unchanged.');
  }
  if (options.nowMs - payload.t > options.maxAgeMs) {
    throw fault('gone', 'The cursor has expired: start the search again.', {
      code: 'expired',
      expression: ['_cursor'],
    });
  }
  return payload.p;
}

function refuse(category: 'invalid' | 'forbidden', diagnostics: string): FhirFault {
  return fault(category, diagnostics, { expression: ['_cursor'] });
}

/** `purpose` keeps a hash made for one use from standing in for another. */
function mac(purpose: 'cursor' | 'caller' | 'query', text: string, key: CursorKey): string {
  return createHmac('sha256', key).update(`${purpose}\0${text}`).digest('base64url');
}

function shortHash(purpose: 'caller' | 'query', text: string, key: CursorKey): string {
  return mac(purpose, text, key).slice(0, hashLength);
}

function isEqual(a: string, b: string): boolean {
  const left = Buffer.from(a);
  const right = Buffer.from(b);
  return left.length === right.length && timingSafeEqual(left, right);
}
