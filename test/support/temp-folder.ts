import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** What a test needs of tap's `t`. */
export interface Teardown {
  teardown(close: () => unknown): unknown;
}

/** Makes an empty folder that is removed with the test, after what was opened in it is closed. */
export function makeTempFolder(t: Teardown): string {
  const folder = mkdtempSync(join(tmpdir(), 'cpis-test-'));
  t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}
