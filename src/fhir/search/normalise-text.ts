const marks = /\p{M}+/gu;
const apostrophes = /['\u2018\u2019\u02BC`]/g;
const separators = /[\p{P}\s]+/gu;

/**
 * Normalises text for string search: compatibility-decomposed, without accents and apostrophes, in one case, and with
 * one space for each run of other punctuation or white space. Idempotent. https://hl7.org/fhir/R4/search.html#string
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
