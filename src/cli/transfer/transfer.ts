import { actAsOperator, operatorOptions, operatorUsage } from '../client/operator-session.ts';
import { type CommandIo, readArguments, required, UsageError } from '../terminal/command-line.ts';
import { readNumbers } from '../terminal/read-numbers.ts';
import { runSteps, type TransferCounts } from './run-transfer.ts';

const usage = `Usage: cpis transfer --from ID --to ID (--list NUMBERS.CSV | --all) [--check] --server URL --client-id ID --key FILE

For operators. Passes the plans of an authority, and the notifications that it is owed, to a successor that the registry
names, on or after the vesting day. If the command is interrupted, run it again: it continues where it stopped.

  --from ID            Organization.id of the authority, such as E10000030
  --to ID              Organization.id of the successor
  --list FILE          the children whose plans pass: a CSV file with a column nhs_number, or one number in each line
  --all                all plans of the authority pass
  --check              count what would pass, and change nothing; also before the vesting day
${operatorUsage}

Exit status:
  0    everything in the list, or every plan, has passed and the counts agree; with --check, nothing is in the way
  1    something did not pass, or the counts before and after differ
  2    wrong usage
  3    the server failed or refused; run the same command to continue
  130  interrupted; run the same command to continue
`;

const scope = 'system/Organization.u';

/** Runs `cpis transfer`. */
export async function transfer(args: readonly string[], io: CommandIo): Promise<number> {
  const { stdout, stderr } = io;
  const { values } = readArguments(args, {
    from: { type: 'string' },
    to: { type: 'string' },
    list: { type: 'string' },
    all: { type: 'boolean', default: false },
    check: { type: 'boolean', default: false },
    ...operatorOptions,
    help: { type: 'boolean', default: false },
  });
  if (values.help) {
    stdout.write(usage);
    return 0;
  }
  const from = required(values.from, '--from');
  const to = required(values.to, '--to');
  if ((values.list !== undefined) === values.all) throw new UsageError('Give either --list or --all.');
  const numbers = values.list === undefined ? undefined : readNumbers('--list', values.list);
  return actAsOperator(values, scope, io, async (session) => {
    const run = {
      ...{ session, from, to, numbers },
      onProgress: ({ plans, transferred }: TransferCounts): void => {
        if (stderr.isTTY === true) stderr.write(`\r${plans} plans seen, ${transferred} transferred`);
      },
    };
    const before = await runSteps(run, true);
    stdout.write(describe(before, from, to));
    if (values.check) return before['without-plan'] > 0 ? 1 : 0;
    const passed = await runSteps(run, false);
    const after = await runSteps(run, true);
    // A response that was lost is not in the sum of the steps.
    const transferred = after['transferred-before'] - before['transferred-before'];
    stdout.write(`${transferred} plans transferred, ${passed.notifications} undelivered notifications handed over.\n`);
    return compare(before, passed, after, stdout);
  });
}

function describe(counts: TransferCounts, from: string, to: string): string {
  const lines = [
    `Vesting day: ${counts.vestingDay}.`,
    `${counts.plans} plans of ${from} to transfer, ${counts['transferred-before']} transferred to ${to} before.`,
  ];
  if (counts.overlapping > 0)
    lines.push(
      `${counts.overlapping} plans for which ${to} already holds one of the same kind on the child: both are kept.`,
    );
  if (counts['same-reference'] > 0)
    lines.push(
      `${counts['same-reference']} plans whose reference ${to} already uses: both are kept, amend them by id.`,
    );
  if (counts['without-plan'] > 0)
    lines.push(`${counts['without-plan']} numbers of the list on which ${from} has no plan.`);
  return `${lines.join('\n')}\n`;
}

/** Reports whether no plan was lost or doubled. Returns the exit code. */
function compare(
  before: TransferCounts,
  passed: TransferCounts,
  after: TransferCounts,
  stdout: CommandIo['stdout'],
): number {
  const was = before.plans + before['transferred-before'];
  const is = after.plans + after['transferred-before'];
  const agrees = was === is;
  stdout.write(
    `Count before: ${was}. Count after: ${is}. ${agrees ? 'They agree.' : "They DIFFER: plans were submitted or deleted meanwhile, or the store is damaged. Compare both authorities' lists."}\n`,
  );
  if (after.plans > 0) {
    stdout.write(`${after.plans} plans did not pass (${passed.failed} failed). Run the same command again.\n`);
  }
  return agrees && after.plans === 0 && before['without-plan'] === 0 ? 0 : 1;
}
