import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { runFile } from '../../scripts/testing/run-file.ts';

const tap = JSON.stringify(import.meta.resolve('tap'));

t.test('a file fails when an assertion does, when it ends early, and when it hangs', async (t) => {
  const folder = t.testdir();
  const run = (name: string, source: string, timeoutS = 60) => {
    const file = join(folder, `${name}.mjs`);
    writeFileSync(file, `import t from ${tap};\n${source}`);
    return runFile(file, process.env, { timeoutS, graceS: 1 });
  };
  t.match(await run('good', `t.equal(1, 1); t.test('later', { skip: 'why' }, () => {});`), {
    ...{ passed: 1, failed: 0, skipped: 1, skipReasons: ['why'], failures: '' },
  });
  t.match(await run('bad', `t.equal(1, 2, 'they differ');`), { failed: 1, failures: /not ok 1 - they differ/ });
  t.match(await run('thrown', `throw new Error('at the start');`), { failed: 1, failures: /at the start/ });
  t.match(await run('ended', `t.equal(1, 1); process.kill(process.pid, 'SIGKILL');`), {
    ...{ failed: 1, failures: /it ended with SIGKILL/ },
  });
  t.match(await run('hung', `t.test('waits', () => new Promise((r) => setTimeout(r, 600_000)));`, 1), {
    ...{ failed: 1, failures: /timeout!|it ended with SIGKILL/ },
  });
});
