import { test } from 'tap';
import type { RecordResult } from '../../../src/cli/submit/record-response.ts';
import { renderResults } from '../../../src/cli/submit/report.ts';
import { renderCsvRow } from '../../../src/cli/terminal/render-csv.ts';

test('no cell is a formula for a spreadsheet, in the results of a submission either', async (t) => {
  const formulas = [
    '=cmd()',
    '+1',
    '-2+3',
    '@SUM(A1)',
    '\t=1',
    '\r=1',
    '\n=1',
    ' =1',
    '\u00a0=1',
    '\u200b=1',
    '＝1',
    '＋1',
    '－1',
    '＠A',
  ];
  for (const formula of formulas) {
    t.match(renderCsvRow([formula, 'b']), /^"?'/, JSON.stringify(formula));
    const result: RecordResult = {
      ...{ record: 1, reference: formula, response: 'CPR06' as const, action: 'created' },
      ...{ explanation: formula, flag: formula, version: formula },
    };
    const row = renderResults([result]).split('\r\n').slice(1).join('\r\n');
    t.equal(row.split("'").length, 5, JSON.stringify(formula));
  }
  for (const text of ['CASE-1', 'a=b', "O'Neill", '9990000018', '', 'x-1']) {
    t.equal(renderCsvRow([text]), `${text}\r\n`);
  }
});
