import { fault } from './fault.ts';

export interface JsonLimits {
  /** Maximum depth of objects and arrays. Default 64. */
  readonly maxDepth?: number;
  /** Maximum number of property names in the text. Default 250,000. */
  readonly maxKeys?: number;
  /** Maximum number of different property names. Default: no limit. */
  readonly maxNames?: number;
  /** Maximum number of values: objects, arrays and plain values. Default 1,000,000. */
  readonly maxValues?: number;
  /** Maximum length of a string as it is written. Default: no limit. */
  readonly maxStringLength?: number;
  /** Maximum length of a number, in characters. Default 32. */
  readonly maxNumberLength?: number;
}

/** Names that could change `Object.prototype` when a value is copied. No FHIR element or JWT claim has such a name. */
const forbiddenNames = new Set([...Object.getOwnPropertyNames(Object.prototype), 'prototype']);
/** Number of names from which an object's names are kept in a Set. */
const linearNames = 12;
/** Maximum white space in a row. It bounds the work between two values. */
const maxSpace = 65_536;
const [quote, backslash, comma, minus, closeBracket, closeBrace] = [0x22, 0x5c, 0x2c, 0x2d, 0x5d, 0x7d];

/** Scans a JSON text once, in one go or in parts. Throws a fault `structure` at the first error. */
export class JsonScan {
  readonly #text: string;
  readonly #limits: Required<JsonLimits>;
  /** The objects and arrays around the place: the names of an object so far, or null for an array. */
  readonly #open: (string[] | Set<string> | null)[] = [];
  readonly #known = new Set<string>();
  #at = 0;
  #keys = 0;
  #values = 0;

  constructor(text: string, limits: JsonLimits) {
    const unlimited = Number.POSITIVE_INFINITY;
    const { maxDepth = 64, maxKeys = 250_000, maxNames = unlimited, maxValues = 1_000_000 } = limits;
    const { maxStringLength = unlimited, maxNumberLength = 32 } = limits;
    this.#text = text;
    this.#limits = { maxDepth, maxKeys, maxNames, maxValues, maxStringLength, maxNumberLength };
  }

  /** Scans about `length` characters further. Returns true once the whole text is scanned. */
  advance(length = Number.POSITIVE_INFINITY): boolean {
    const stop = this.#at + length;
    while (this.#at < stop) {
      if (!this.#value(this.#next()) && this.#close()) return true;
    }
    return false;
  }

  /** Scans a value. Returns true if it is an object or array whose first value is next. */
  #value(code: number): boolean {
    const { maxValues } = this.#limits;
    if (++this.#values > maxValues) this.#refuse(`it has more than ${maxValues} values`);
    if (code === quote) this.#string();
    else if (code === 0x7b) return this.#enter([], closeBrace);
    else if (code === 0x5b) return this.#enter(null, closeBracket);
    else if (code === minus || isDigit(code)) this.#number();
    else if (code === 0x74) this.#literal('true');
    else if (code === 0x66) this.#literal('false');
    else if (code === 0x6e) this.#literal('null');
    else this.#refuse('a value was expected');
    return false;
  }

  /** Enters an object or array. Returns false if it is empty, and then consumes it. */
  #enter(names: string[] | null, closing: number): boolean {
    const { maxDepth } = this.#limits;
    if (this.#open.length >= maxDepth) this.#refuse(`it is nested deeper than ${maxDepth} levels`);
    this.#at++;
    const code = this.#next();
    if (code === closing) {
      this.#at++;
      return false;
    }
    this.#open.push(names);
    if (names !== null) this.#name(code);
    return true;
  }

  /** Consumes what follows a value, up to the next one. Returns true at the end of the text. */
  #close(): boolean {
    while (true) {
      const code = this.#next();
      const around = this.#open.at(-1);
      if (around === undefined) {
        if (Number.isNaN(code)) return true;
        this.#refuse('the value must be the end of the text');
      }
      if (code === comma) {
        this.#at++;
        if (around !== null) this.#name(this.#next());
        return false;
      }
      if (code !== (around === null ? closeBracket : closeBrace)) {
        this.#refuse(around === null ? "',' or ']' was expected" : "',' or '}' was expected");
      }
      this.#at++;
      this.#open.pop();
    }
  }

  /** Consumes a name and the colon after it. */
  #name(code: number): void {
    if (code !== quote) this.#refuse('a property name was expected');
    const { maxKeys, maxNames } = this.#limits;
    const start = this.#at;
    if (++this.#keys > maxKeys) this.#refuse(`it has more than ${maxKeys} properties`);
    const escaped = this.#string();
    const name: string = escaped
      ? JSON.parse(this.#text.slice(start, this.#at))
      : this.#text.slice(start + 1, this.#at - 1);
    if (!this.#known.has(name)) {
      if (forbiddenNames.has(name)) this.#refuse('a property name is not allowed', start);
      if (this.#known.size >= maxNames) this.#refuse(`it has more than ${maxNames} different property names`, start);
      this.#known.add(name);
    }
    this.#addName(name, start);
    if (this.#next() !== 0x3a) this.#refuse("':' was expected");
    this.#at++;
  }

  #addName(name: string, start: number): void {
    const names = this.#open.at(-1) ?? [];
    if (Array.isArray(names) ? names.includes(name) : names.has(name)) {
      this.#refuse('a property name occurs twice in one object', start);
    }
    if (!Array.isArray(names)) names.add(name);
    else if (names.push(name) === linearNames) this.#open[this.#open.length - 1] = new Set(names);
  }

  #refuse(what: string, at = this.#at): never {
    const text = this.#text;
    let line = 1;
    for (let index = 0; index < at; index++) if (text.charCodeAt(index) === 0x0a) line++;
    const column = at - (at === 0 ? -1 : text.lastIndexOf('\n', at - 1));
    throw fault('structure', `The JSON is not valid: ${what} (line ${line}, column ${column}).`);
  }

  /** Skips white space. Returns the code of the next character without consuming it; NaN at the end. */
  #next(): number {
    const text = this.#text;
    const start = this.#at;
    let code = text.charCodeAt(this.#at);
    while (code === 0x20 || code === 0x0a || code === 0x0d || code === 0x09) {
      code = text.charCodeAt(++this.#at);
      if (this.#at - start > maxSpace) this.#refuse(`it has more than ${maxSpace} characters of white space in a row`);
    }
    return code;
  }

  #literal(word: string): void {
    if (!this.#text.startsWith(word, this.#at)) this.#refuse('a value was expected');
    this.#at += word.length;
  }

  /** Consumes a string. Returns whether it has an escape. */
  #string(): boolean {
    const text = this.#text;
    let escaped = false;
    let at = this.#at + 1;
    const end = at + this.#limits.maxStringLength;
    while (true) {
      const code = text.charCodeAt(at);
      if (at > end) this.#refuse(`a string is longer than ${this.#limits.maxStringLength} characters`);
      if (code === quote) {
        this.#at = at + 1;
        return escaped;
      }
      if (code === backslash) {
        escaped = true;
        at = this.#escape(at);
      } else if (code >= 0x20) at++;
      else if (Number.isNaN(code)) this.#refuse('a string is not closed');
      else this.#refuse('a string holds a control character', at);
    }
  }

  /** Returns the position after the escape, or pair of surrogate escapes, at `at`. */
  #escape(at: number): number {
    const code = this.#text.charCodeAt(at + 1);
    if (code !== 0x75) {
      // quote, backslash, slash, n, r, t
      if (code === quote || code === backslash || code === 0x2f || code === 0x6e || code === 0x72 || code === 0x74) {
        return at + 2;
      }
      const isControl = code === 0x62 || code === 0x66;
      this.#refuse(isControl ? 'a string holds a control character' : 'an escape is not valid', at);
    }
    const unit = this.#hex(at + 2);
    if (unit < 0x20 && unit !== 0x09 && unit !== 0x0a && unit !== 0x0d) {
      this.#refuse('a string holds a control character', at);
    }
    if (unit < 0xd800 || unit > 0xdfff) return at + 6;
    if (unit < 0xdc00 && this.#text.startsWith('\\u', at + 6)) {
      const low = this.#hex(at + 8);
      if (low >= 0xdc00 && low <= 0xdfff) return at + 12;
    }
    this.#refuse('an escape is half of a surrogate pair', at);
  }

  #hex(at: number): number {
    let value = 0;
    for (let index = at; index < at + 4; index++) {
      const code = this.#text.charCodeAt(index);
      const lower = code | 0x20;
      if (isDigit(code)) value = value * 16 + (code - 0x30);
      else if (lower >= 0x61 && lower <= 0x66) value = value * 16 + (lower - 0x57);
      else this.#refuse('an escape is not valid', at - 2);
    }
    return value;
  }

  #number(): void {
    const text = this.#text;
    const start = this.#at;
    if (text.charCodeAt(this.#at) === minus) this.#at++;
    if (text.charCodeAt(this.#at) === 0x30) this.#at++;
    else this.#digits();
    if (text.charCodeAt(this.#at) === 0x2e) {
      this.#at++;
      this.#digits();
    }
    const exponent = (text.charCodeAt(this.#at) | 0x20) === 0x65;
    if (exponent) {
      const sign = text.charCodeAt(++this.#at);
      if (sign === minus || sign === 0x2b) this.#at++;
      this.#digits();
    }
    if (this.#at - start > this.#limits.maxNumberLength) this.#refuse('a number is too long', start);
    if (exponent && !Number.isFinite(Number(text.slice(start, this.#at)))) this.#refuse('a number is too large', start);
  }

  #digits(): void {
    const start = this.#at;
    while (isDigit(this.#text.charCodeAt(this.#at))) this.#at++;
    if (this.#at === start) this.#refuse('a digit was expected');
  }
}

function isDigit(code: number): boolean {
  return code >= 0x30 && code <= 0x39;
}
