/** The search parameter types of the served resource types. https://hl7.org/fhir/R4/valueset-search-param-type.html */
export type SearchParameterType = 'token' | 'reference' | 'date' | 'string' | 'uri';

/** A search parameter of one resource type. */
export interface SearchParameter {
  readonly code: string;
  readonly type: SearchParameterType;
  /** FHIRPath for this type, without `resolve()`. */
  readonly expression: string;
  /** Resource types that a reference may point to; empty for other types of parameter. */
  readonly targets: readonly string[];
  /** Whether the definition filters by `resolve() is X`. A reference of unknown type is then not indexed. */
  readonly narrowed: boolean;
  /** The system of a `code` element with a required binding. */
  readonly system?: string;
}
