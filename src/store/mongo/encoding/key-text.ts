/** Compound texts that documents are found by: equality and prefix ranges on one index serve every search. */
import { afterAllThatStartWith } from '../../text-range.ts';

/** Escapes a part of a key so that it contains no bar, which separates the parts. */
export function keyPart(text: string): string {
  return text.replaceAll('%', '%25').replaceAll('|', '%7C');
}

/** Reverses `keyPart`. */
export function keyPartText(part: string): string {
  return part.replaceAll('%7C', '|').replaceAll('%25', '%');
}

/** Returns a regular expression that matches this text and nothing else. */
export function literalPattern(text: string): string {
  return text.replace(/[\p{Cc}]|[!-/:-@[-^`{-~]/gu, (character) =>
    /\p{Cc}/u.test(character) ? `\\x{${character.charCodeAt(0).toString(16)}}` : `\\${character}`,
  );
}

/** Returns the range of all texts that start with `prefix`. For an array field, use it within `$elemMatch`. */
export function startingWith(prefix: string): { readonly $gte: string; readonly $lt?: string } {
  const end = afterAllThatStartWith(prefix);
  return end === undefined ? { $gte: prefix } : { $gte: prefix, $lt: end };
}
