import { fault } from './fault.ts';

export interface JsonLimits {
  /** Maximum depth of objects and arrays. Default 64. */
  readonly maxDepth?: number;
  /** Maximum number of property names in the text. Default 250,000. */
  readonly maxKeys?: number;
  /** Maximum length of a number, in characters. Default 32. */
  readonly maxNumberLength?: number;
}

/** Names that could change `Object.prototype` when a value is copied. No FHIR element or JWT claim has such a name. */
const forbiddenNames = new Set([...Object.getOwnPropertyNames(Object.prototype), 'prototype']);
/** Number of names from which an object's names are kept in a Set. */
const linearNames = 12;
const [quote, backslash, comma, minus, closeBracket, closeBrace] = [0x22, 0x5c, 0x2c, 0x2d, 0x5d, 0x7d];

/** Scans a JSON text once and throws a fault `structure` at the first error. */
export class JsonScan {
  readonly #text: string;
  readonly #maxDepth: number;
  readonly #maxKeys: number;
  readonly #maxNumberLength: number;
  #at = 0;
  #keys = 0;

  constructor(text: string, limits: JsonLimits) {
    this.#text = text;
    this.#maxDepth = limits.maxDepth ?? 64;
    this.#maxKeys = limits.maxKeys ?? 250_000;
    this.#maxNumberLength = limits.maxNumberLength ?? 32;
  }

  whole(): void {
    this.#value(this.#next(), 0);
    if (!Number.isNaN(this.#next())) this.#refuse('the value must be the end of the text');
  }

  #refuse(what: string, at = this.#at): never {
    const line = this.#text.slice(0, at).split('\n').length;
    const column = at - (at === 0 ? -1 : this.#text.lastIndexOf('\n', at - 1));
    throw fault('structure', `The JSON is not valid: ${what} (line ${line}, column ${column}).`);
  }

  /** Skips white space. Returns the code of the next character without consuming it; NaN at the end. */
  #next(): number {
    const text = this.#text;
    let code = text.charCodeAt(this.#at);
    while (code === 0x20 || code === 0x0a || code === 0x0d || code === 0x09) code = text.charCodeAt(++this.#at);
    return code;
  }

  #value(code: number, depth: number): void {
    if (code === quote) this.#string();
    else if (code === 0x7b) this.#object(depth + 1);
    else if (code === 0x5b) this.#array(depth + 1);
    else if (code === minus || isDigit(code)) this.#number();
    else if (code === 0x74) this.#literal('true');
    else if (code === 0x66) this.#literal('false');
    else if (code === 0x6e) this.#literal('null');
    else this.#refuse('a value was expected');
  }

  #literal(word: string): void {
    if (!this.#text.startsWith(word, this.#at)) this.#refuse('a value was expected');
    this.#at += word.length;
  }

  /** Consumes the opening bracket. Returns the code of the next character. */
  #enter(depth: number): number {
    if (depth > this.#maxDepth) this.#refuse(`it is nested deeper than ${this.#maxDepth} levels`);
    this.#at++;
    return this.#next();
  }

  #array(depth: number): void {
    let code = this.#enter(depth);
    if (code === closeBracket) {
      this.#at++;
      return;
    }
    while (true) {
      this.#value(code, depth);
      code = this.#next();
      if (code === comma) {
        this.#at++;
        code = this.#next();
      } else if (code === closeBracket) {
        this.#at++;
        return;
      } else this.#refuse("',' or ']' was expected");
    }
  }

  #object(depth: number): void {
    let code = this.#enter(depth);
    if (code === closeBrace) {
      this.#at++;
      return;
    }
    const names: string[] = [];
    let many: Set<string> | undefined;
    while (true) {
      if (code !== quote) this.#refuse('a property name was expected');
      const start = this.#at;
      const name = this.#name();
      if (many === undefined ? names.includes(name) : many.has(name)) {
        this.#refuse('a property name occurs twice in one object', start);
      }
      if (many !== undefined) many.add(name);
      else if (names.push(name) === linearNames) many = new Set(names);
      if (this.#next() !== 0x3a) this.#refuse("':' was expected");
      this.#at++;
      this.#value(this.#next(), depth);
      code = this.#next();
      if (code === comma) {
        this.#at++;
        code = this.#next();
      } else if (code === closeBrace) {
        this.#at++;
        return;
      } else this.#refuse("',' or '}' was expected");
    }
  }

  #name(): string {
    const start = this.#at;
    if (++this.#keys > this.#maxKeys) this.#refuse(`it has more than ${this.#maxKeys} properties`);
    const escaped = this.#string();
    const name: string = escaped
      ? JSON.parse(this.#text.slice(start, this.#at))
      : this.#text.slice(start + 1, this.#at - 1);
    if (forbiddenNames.has(name)) this.#refuse('a property name is not allowed', start);
    return name;
  }

  /** Consumes a string. Returns whether it has an escape. */
  #string(): boolean {
    const text = this.#text;
    let escaped = false;
    let at = this.#at + 1;
    while (true) {
      const code = text.charCodeAt(at);
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
    if (this.#at - start > this.#maxNumberLength) this.#refuse('a number is too long', start);
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
