import type { Demographics } from './demographics.ts';

/** The default: there is no demographics service, and nothing is checked. */
export const noDemographics: Demographics = {
  isPresent: false,
  trace: async () => undefined,
  match: async () => ({ kind: 'unchecked' }),
};
