const marks = /\p{M}+/gu;
const apostrophes = /['\u2018\u2019\u02BC`]/g;
const separators = /[\p{P}\s]+/gu;

/**
 * Text as string search compares it: compatibility-decomposed, without accents, in one case, without apostrophes, every
 * other run of punctuation or white space one space, trimmed. Idempotent. https://hl7.org/fhir/R4/search.html#string
 */
export function normaliseText(text: string): string {
  return text
    .normalize('NFKD')
    .toLowerCase()
    .toUpperCase()
    .normalize('NFKD')
    .replace(marks, '')
    .toLowerCase()
    .replaceAll('ς', 'σ')
    .replace(apostrophes, '')
    .replace(separators, ' ')
    .trim();
}
