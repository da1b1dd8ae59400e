import { isNhsNumber } from '../../cpis/nhs-number.ts';
import { itemsOf, membersOf } from '../../fhir/any-json.ts';

/** A record of the stand-in for PDS. Only numbers of the range that is reserved for tests and never issued are known. */
export interface StandInPerson {
  readonly number: string;
  readonly family?: string;
  readonly given?: readonly string[];
  readonly birthDate?: string;
  /** `U` unrestricted (the default), `R` restricted, `V` very restricted. */
  readonly confidentiality?: 'U' | 'R' | 'V';
  readonly deceased?: string;
  /** The number in use; its record is answered. */
  readonly supersededBy?: string;
  readonly invalidated?: boolean;
  /** Statuses that the next requests get instead of the record, one each. */
  readonly faults?: readonly number[];
  /** How long the answer takes. */
  readonly delayMs?: number;
}

export interface StandInPeople {
  get(number: string): StandInPerson | undefined;
  /** Adds or replaces records. */
  put(people: readonly StandInPerson[]): void;
  /** Returns the status that the next request for the number gets instead of the record, and uses it up. */
  takeFault(number: string): number | undefined;
}

/** The documented cases of PDS's sandbox and integration environment, on numbers that are never issued. */
const documentedCases: readonly StandInPerson[] = [
  { number: '9990100004', family: 'Smith', given: ['Jane'], birthDate: '2010-10-22' },
  { number: '9990100012', supersededBy: '9990100020' },
  { number: '9990100020', family: 'Cuff', given: ['Marie'], birthDate: '2012-03-04' },
  { number: '9990100039', invalidated: true },
  { number: '9990100047', family: 'Smythe', given: ['Janet'], birthDate: '2010-10-22', confidentiality: 'R' },
  {
    number: '9990100055',
    family: 'Gray',
    given: ['Tom'],
    birthDate: '2011-05-06',
    deceased: '2025-01-02T00:00:00+00:00',
  },
  { number: '9990100063', family: 'Hill', given: ['Sam'] },
  { number: '9990100071', family: 'Lane', given: ['Ada'], birthDate: '2013-07-08', faults: [408] },
  { number: '9990100098', family: 'Moor', given: ['Ben'], birthDate: '2014-09-10', faults: [429, 429] },
  { number: '9990100101', family: 'West', given: ['Cleo'], birthDate: '2015-11-12', faults: [503] },
  { number: '9990100128', family: 'East', given: ['Dan'], birthDate: '2016-01-14', delayMs: 2_000 },
  { number: '9990100136', family: 'Vale', given: ['Eve'], birthDate: '2012-02-16', confidentiality: 'V' },
  { number: '9990100144' },
];

/** Opens the records with the documented cases. */
export function openStandInPeople(): StandInPeople {
  const people = new Map<string, StandInPerson>();
  const faults = new Map<string, number[]>();
  const put = (added: readonly StandInPerson[]): void => {
    for (const person of added) {
      people.set(person.number, person);
      faults.set(person.number, [...(person.faults ?? [])]);
    }
  };
  put(documentedCases);
  return { get: (number) => people.get(number), put, takeFault: (number) => faults.get(number)?.shift() };
}

/** Reads a JSON array of records. Returns undefined if one has no number of the reserved range. */
export function readStandInPeople(json: unknown): readonly StandInPerson[] | undefined {
  const items = itemsOf(json);
  const isRecord = (item: unknown): item is StandInPerson => {
    const { number, supersededBy = number } = membersOf(item);
    return [number, supersededBy].every((text) => typeof text === 'string' && /^999/.test(text) && isNhsNumber(text));
  };
  return Array.isArray(json) && items.every(isRecord) ? items : undefined;
}
