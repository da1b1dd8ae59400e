import type { IssueCode } from '../fault.ts';

/** Why a search parameter was refused. `diagnostics` never repeats text from the client. */
export class Problem {
  readonly code: IssueCode;
  readonly diagnostics: string;

  constructor(code: IssueCode, diagnostics: string) {
    this.code = code;
    this.diagnostics = diagnostics;
  }
}
