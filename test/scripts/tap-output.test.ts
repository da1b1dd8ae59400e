import t from 'tap';
import { readCounts, readFailures, readSkipReasons } from '../../scripts/testing/tap-output.ts';

const output = `TAP version 14
# Subtest: outer
    ok 1 - first
    # Subtest: inner
        not ok 1 - same things
          ---
          diff: |
            not ok 9 - a text within diagnostics
          ...
        
        ok 2 - more
        1..2
    not ok 2 - inner # time=23.372ms
      ---
      source: elsewhere
      ...
    
    1..2
not ok 1 - outer # time=29.679ms
  ---
  isToplevel: true
  ...

# Subtest: passes
    ok 1 - of no interest
    1..1
ok 2 - passes # time=1ms

ok 3 - left out # SKIP no database
not ok 4 - to come # TODO
1..4
# { total: 6, pass: 3, fail: 1, todo: 1, skip: 1 }
# time=1564.93ms
`;

t.test('the counts are those of the last line of totals', async (t) => {
  t.strictSame(readCounts(output), { passed: 3, failed: 1, skipped: 2 });
  t.strictSame(readCounts('TAP version 14\n1..0 # SKIP no database\n'), { passed: 0, failed: 0, skipped: 1 });
  t.equal(readCounts('TAP version 14\n# Subtest: outer\n    ok 1 - first\n'), undefined, 'the process ended early');
});

t.test('a failed assertion is shown once, under the names of its tests, with its diagnostics', async (t) => {
  t.equal(
    readFailures(output),
    `# Subtest: outer
    # Subtest: inner
        not ok 1 - same things
          ---
          diff: |
            not ok 9 - a text within diagnostics
          ...`,
  );
});

t.test('each reason for skipping is reported once', async (t) => {
  t.strictSame(readSkipReasons(output), ['no database']);
  t.strictSame(readSkipReasons('ok 1 - a # SKIP\nok 2 - b # SKIP x\nok 3 - c # SKIP x\n'), ['no reason is given', 'x']);
  t.strictSame(readSkipReasons('1..0 # SKIP no database'), ['no database']);
});
