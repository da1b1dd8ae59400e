import type { HumanName, Patient } from 'fhir/r4.js';
import type { PersonName, StatedDetails } from './demographics.ts';

/** Reads a name. Without a family name, the last word of `text` is taken for it. */
export function readName({ family, given = [], text = '' }: HumanName): PersonName {
  if (family !== undefined) return { family, given };
  const words = text.split(/\s+/).filter(Boolean);
  return { family: words.at(-1) ?? '', given: words.slice(0, -1) };
}

/** Returns the details that a submitted Patient states. `number` is its NHS number, already checked. */
export function statedDetails({ name = [], birthDate = '' }: Patient, number: string): StatedDetails {
  return { number, names: name.map(readName), birthDate };
}
