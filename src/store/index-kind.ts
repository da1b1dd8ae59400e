/** The number under which the embedded store keeps a searchable value of this kind, and what its two fields hold. */
export const indexKind = {
  /** code, system ('' for none) */
  token: 1,
  /** id, type */
  reference: 2,
  /** value, system ('' for none) */
  'reference-identifier': 3,
  /** start, end in epoch milliseconds */
  date: 4,
  /** normalised, verbatim */
  string: 5,
  /** value, '' */
  uri: 6,
} as const;
