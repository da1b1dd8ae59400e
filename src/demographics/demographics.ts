/**
 * The demographics port: what a service such as NHS England's Personal Demographics Service (PDS) knows of the person with
 * an NHS number. Its methods never reject: a service that cannot answer is `unavailable`, which is never read as "not
 * found".
 */

export interface PersonName {
  readonly family: string;
  /** In order; an element may hold a compound name such as "John Paul". */
  readonly given: readonly string[];
}

/** A person as the service records them. It holds no address, telephone number or general practice. */
export interface Person {
  /** The NHS number in use. */
  readonly number: string;
  /** Current and earlier names; empty if none is recorded. */
  readonly names: readonly PersonName[];
  /** May lack the day, or month and day. */
  readonly birthDate: string | undefined;
  readonly isDead: boolean;
  /** The record is restricted: its subject may not be found by anybody whom they fear. */
  readonly isSensitive: boolean;
}

export type Trace =
  | { readonly kind: 'found'; readonly person: Person }
  /** The number was replaced: `person.number` is the one in use. */
  | { readonly kind: 'superseded'; readonly person: Person }
  /** The number was in use and has no successor, as after an adoption. */
  | { readonly kind: 'invalidated' }
  | { readonly kind: 'not-found' }
  | { readonly kind: 'unavailable'; readonly retryAfterS: number };

/** Details that an authority states of a person. */
export interface StatedDetails {
  readonly number: string;
  readonly names: readonly PersonName[];
  readonly birthDate: string;
}

export type Match =
  /** There is no service to ask. */
  | { readonly kind: 'unchecked' }
  | Extract<Trace, { kind: 'unavailable' }>
  /** No person has this number now. */
  | { readonly kind: 'no-match' }
  | {
      readonly kind: 'compared';
      readonly birthDate: 'agrees' | 'differs' | 'unrecorded';
      readonly nameAgrees: boolean;
      readonly isSuperseded: boolean;
      readonly person: Person;
    };

export interface Demographics {
  /** False if there is no service: nothing is checked, and no two numbers are ever linked. */
  readonly isPresent: boolean;
  /** Returns the record of an NHS number; undefined if there is no service to ask. */
  trace(number: string): Promise<Trace | undefined>;
  /** Compares what an authority states with the record of the NHS number. */
  match(stated: StatedDetails): Promise<Match>;
}
