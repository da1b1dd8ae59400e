import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { makeSyntheticRegistry } from '../../src/synthetic/synthetic-registry.ts';
import { runCommandHere } from '../support/run-cpis.ts';
import { makeTempFolder } from '../support/temp-folder.ts';

const { json } = await makeSyntheticRegistry({ authorityNames: ['Northmoor'], careProviderNames: ['Hospital'] });
const folder = makeTempFolder(t);
const check = (text: string | Buffer, ...more: string[]) => {
  const file = join(folder, 'registry.json');
  writeFileSync(file, text, { mode: 0o600 });
  return runCommandHere(['registry', 'check', file, ...more]);
};

t.test('a registry file is checked as a start does, with the place of each problem', async (t) => {
  const text = JSON.stringify(json, undefined, 2);
  t.match(await check(text), { code: 0, out: /registry\.json is valid: 3 organisations, 5 clients\.\n$/, err: '' });
  t.match(await check(Buffer.concat([Buffer.from([0xef, 0xbb, 0xbf]), Buffer.from(text)])), { code: 0 });
  t.match(await check('{\n  "organisations": [,]\n}'), {
    code: 1,
    out: '',
    err: /registry\.json is not valid:\n- The JSON is not valid: .*line 2, column 21/,
  });
  t.match(await check(text.replace('"role": "operator"', '"role": "boss"')), {
    code: 1,
    err: /- clients\[\d\]\.role: must be one of/,
  });
  const double = text.replace('"clients": [', '"clients": [], "clients": [');
  t.match(await check(double), { code: 1, err: /occurs twice.*line \d+, column \d+/ });
  const local = JSON.stringify(json).replace(
    '"subscriptionOrigins":[]',
    '"subscriptionOrigins":["http://127.0.0.1:9"]',
  );
  t.match(await check(local), { code: 1, err: /subscriptionOrigins\[0\]: must be an exact origin/ });
  t.match(await check(local, '--allow-loopback-endpoints'), { code: 0 });
});

t.test('wrong usage, a missing file, help and the version', async (t) => {
  t.match(await runCommandHere(['registry']), { code: 2, err: /Give: check FILE/ });
  t.match(await runCommandHere(['registry', 'check', join(folder, 'none.json')]), { code: 1, err: /does not exist/ });
  t.match(await runCommandHere(['registry', '--help']), { code: 0, out: /Usage: cpis registry check FILE/ });
  t.match(await runCommandHere(['--version']), { code: 0, out: /^\d+\.\d+\.\d+\n$/ });
});
