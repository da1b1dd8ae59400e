/** Names that people read: of professionals, roles and organisations. */

/**
 * Characters that do not show, that turn the direction of text, or that look like nothing: control, format, unassigned
 * and private characters, line separators, variation selectors, Hangul fillers, tags, and the blank Braille pattern.
 */
const hidden = String.raw`[\p{C}\p{Default_Ignorable_Code_Point}\p{Zl}\p{Zp}\u2800\ufffc\ufffd\u{1d159}]`;
const letter = String.raw`[\p{Lu}\p{Ll}\p{Lt}\p{Lo}]`;
const maxLength = 200;

/** A name as the registry must hold it: a letter or more, no hidden character, no blank but a single space in it. */
export const shownNamePattern =
  String.raw`^(?=.{1,${maxLength}}$)(?=.*${letter})(?!.*${hidden})(?!.*\p{M}{5})` +
  String.raw`[^\p{Z}\p{M}][^\p{Z}]*( [^\p{Z}]+)*$`;

const shownName = new RegExp(shownNamePattern, 'u');
const hiddenCharacter = new RegExp(hidden, 'u');
const blanks = /\p{Zs}+/gu;
const outerBlanks = /^\p{Zs}+|\p{Zs}+$/gu;

/**
 * Reads a name that is shown to people. Removes blanks at its ends, and makes each run of blanks in it one space. Returns
 * undefined unless it then has a letter, 200 characters at most and no hidden character.
 */
export function parseShownName(value: unknown): string | undefined {
  if (typeof value !== 'string' || value.length > 10 * maxLength) return undefined;
  const name = value.replace(outerBlanks, '').replace(blanks, ' ');
  return shownName.test(name) ? name : undefined;
}

/** Returns whether a text has a character that does not show, or that turns the direction of what follows. */
export function hasHiddenCharacter(text: string): boolean {
  return hiddenCharacter.test(text);
}

/** Returns whether two names differ in no more than letter case, blanks, or the way their characters are composed. */
export function isSameName(one: string, other: string): boolean {
  return comparable(one) === comparable(other);
}

function comparable(name: string): string {
  return name.normalize('NFKC').replace(blanks, ' ').trim().toLowerCase();
}
