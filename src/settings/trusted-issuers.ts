import { Ajv } from 'ajv';
import type { TrustedIssuer } from '../auth/access-token.ts';
import { describeProblem } from '../json-schema/describe-problem.ts';
import { checkUrl } from './check-url.ts';
import { type SettingName, trustedIssuersSchema } from './settings-schema.ts';

const validate = new Ajv({ allErrors: true, verbose: true }).compile<readonly TrustedIssuer[]>(trustedIssuersSchema);

/** Reads the trusted issuers from the settings, or from the file that they name. Adds what is wrong to `problems`. */
export function readTrustedIssuers(
  text: (name: SettingName) => string | undefined,
  readText: (path: string) => string,
  allowLoopback: boolean,
  problems: string[],
): readonly TrustedIssuer[] {
  const inline = text('CPIS_TRUSTED_ISSUERS');
  const file = text('CPIS_TRUSTED_ISSUERS_FILE');
  const name = file === undefined ? 'CPIS_TRUSTED_ISSUERS' : 'CPIS_TRUSTED_ISSUERS_FILE';
  if (inline !== undefined && file !== undefined) {
    problems.push('CPIS_TRUSTED_ISSUERS and CPIS_TRUSTED_ISSUERS_FILE: set only one of them');
    return [];
  }
  if (inline === undefined && file === undefined) return [];
  let issuers: unknown;
  try {
    issuers = JSON.parse(file === undefined ? (inline ?? '') : readText(file));
  } catch (error) {
    problems.push(`${name}: ${error instanceof SyntaxError ? 'is not valid JSON' : 'cannot read the file'}`);
    return [];
  }
  if (!validate(issuers)) {
    problems.push(...(validate.errors ?? []).map((error) => `${name}: ${describeProblem(error)}`));
    return [];
  }
  issuers.forEach((issuer, index) => {
    const problem = checkUrl(issuer.jwksUrl, allowLoopback);
    if (problem !== undefined) problems.push(`${name}: [${index}].jwksUrl: ${problem}`);
    if (issuers.findIndex((other) => other.issuer === issuer.issuer) !== index) {
      problems.push(`${name}: [${index}].issuer: must be unique; another entry has this value`);
    }
    if (issuers.findIndex((other) => other.jwksUrl === issuer.jwksUrl) !== index) {
      problems.push(`${name}: [${index}].jwksUrl: must be unique, so that no issuer can sign for another`);
    }
  });
  return issuers;
}
