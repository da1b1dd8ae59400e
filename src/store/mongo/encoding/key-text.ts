/** Compound texts that documents are found by: equality and prefix ranges on one index serve every search. */
import { afterAllThatStartWith } from '../../text-range.ts';

/** A part that another one follows: the bar that parts them does not occur in it. */
export function keyPart(text: string): string {
  return text.replaceAll('%', '%25').replaceAll('|', '%7C');
}

/** What `keyPart` was made of. */
export function keyPartText(part: string): string {
  return part.replaceAll('%7C', '|').replaceAll('%25', '%');
}

/** A pattern that matches this text and nothing else: what it is made of is no pattern. */
export function literalPattern(text: string): string {
  return text.replace(/[\p{Cc}]|[!-/:-@[-^`{-~]/gu, (character) =>
    /\p{Cc}/u.test(character) ? `\\x{${character.charCodeAt(0).toString(16)}}` : `\\${character}`,
  );
}

/** Returns the conditions of a text that starts with `prefix`. In an array they belong into `$elemMatch`. */
export function startingWith(prefix: string): { readonly $gte: string; readonly $lt?: string } {
  const end = afterAllThatStartWith(prefix);
  return end === undefined ? { $gte: prefix } : { $gte: prefix, $lt: end };
}
