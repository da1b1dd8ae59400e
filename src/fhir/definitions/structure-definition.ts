/** The elements used from the R4 conformance resources in `profiles/`. */

interface DifferentialElement {
  readonly path: string;
  readonly min?: number;
  readonly max?: string;
  readonly type?: readonly {
    readonly code: string;
    readonly targetProfile?: readonly string[];
    readonly profile?: readonly string[];
  }[];
  readonly binding?: { readonly strength: string; readonly valueSet?: string };
  readonly constraint?: readonly {
    readonly key: string;
    readonly severity: string;
    readonly human: string;
    readonly expression?: string;
  }[];
  readonly maxLength?: number;
  readonly extension?: readonly { readonly url: string; readonly valueString?: string }[];
  readonly [name: string]: unknown;
}

export interface StructureDefinition {
  readonly resourceType: 'StructureDefinition';
  readonly url: string;
  readonly type: string;
  readonly baseDefinition: string;
  readonly derivation: string;
  readonly differential: { readonly element: readonly DifferentialElement[] };
}

export interface ConceptRecord {
  readonly code: string;
  readonly display?: string;
  readonly concept?: readonly ConceptRecord[];
}

export interface CodeSystem {
  readonly resourceType: 'CodeSystem';
  readonly url: string;
  readonly concept?: readonly ConceptRecord[];
}

export interface ValueSet {
  readonly resourceType: 'ValueSet';
  readonly url: string;
  readonly compose: {
    readonly include: readonly {
      readonly system?: string;
      readonly concept?: readonly ConceptRecord[];
      readonly valueSet?: readonly string[];
      readonly filter?: unknown;
    }[];
    readonly exclude?: unknown;
  };
}

export type { DifferentialElement };
