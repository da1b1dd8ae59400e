/** Codes of local authorities, for tests that need no registry. */
export const leeds = 'E08000035';
export const kent = 'E10000016';
