/** The shape of the slim R4 definitions (`r4.json`, made by scripts/generate-definitions.ts). */

export interface ElementType {
  /** FHIR type name: `string`, `Reference`, `BackboneElement` ... */
  readonly code: string;
  /** Resource type names that a Reference may point to; absent = any. */
  readonly targets?: readonly string[];
  /** Canonical URLs of the extensions that a profile allows; absent = any. */
  readonly profiles?: readonly string[];
}

/** One snapshot element. What is left out has the default: min 0, max '1'. */
export interface ElementRecord {
  readonly path: string;
  readonly min?: number;
  readonly max?: string;
  /** Of elements of resource types: shown by `_summary=true`. https://hl7.org/fhir/R4/search.html#summary */
  readonly isSummary?: true;
  readonly types?: readonly ElementType[];
  /** Path of the element whose children this one shares (`Parameters.parameter`). */
  readonly contentReference?: string;
  /** Canonical URL of a required binding. */
  readonly valueSet?: string;
  /** Keys of `Definitions.constraints`. */
  readonly constraints?: readonly string[];
  readonly fixed?: unknown;
  readonly pattern?: unknown;
}

export interface TypeRecord {
  readonly kind: 'resource' | 'complex-type';
  /** Snapshot order; the first is the type itself. */
  readonly elements: readonly ElementRecord[];
}

export interface Constraint {
  readonly key: string;
  readonly severity: 'error' | 'warning';
  readonly human: string;
  readonly expression: string;
}

/** Codes by code system. The display is there where the source gives one to check against. */
export type ValueSetExpansion = ReadonlyMap<string, ReadonlyMap<string, string | undefined>>;

export interface Definitions {
  readonly fhirVersion: string;
  /** Primitive type -> regular expression of its text, unanchored as FHIR prints it. */
  readonly primitives: ReadonlyMap<string, string | undefined>;
  readonly types: ReadonlyMap<string, TypeRecord>;
  readonly constraints: ReadonlyMap<string, Constraint>;
  /** Canonical URL (no version) -> expansion, of the value sets that can be enumerated. */
  readonly valueSets: ReadonlyMap<string, ValueSetExpansion>;
}

/** `r4.json` as it stands in the file. */
export interface DefinitionsFile {
  readonly fhirVersion: string;
  readonly primitives: Readonly<Record<string, string | null>>;
  readonly types: Readonly<Record<string, TypeRecord>>;
  readonly constraints: Readonly<Record<string, Omit<Constraint, 'key'>>>;
  readonly valueSets: Readonly<Record<string, Readonly<Record<string, readonly string[]>>>>;
}
