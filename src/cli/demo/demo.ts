import { type CommandIo, readArguments } from '../terminal/command-line.ts';
import { type DemoReport, runDemo } from './run-demo.ts';
import { openDemoWorld } from './stage/demo-world.ts';
import { openScreen, type Screen } from './stage/screen.ts';

const usage = `Usage: cpis demo [--exit]

Shows the whole product on this machine, with synthetic data: starts the real server with three local authorities and
two care providers, checks every fact that it shows, then keeps the server running until Ctrl-C.

  --exit  stop at the end instead of keeping the server running

Exit status: 0 every check passed, 1 a check or a step failed, 2 wrong usage, 130 interrupted.
`;

const interrupted = 130;

/** Prints how many checks passed. Returns the exit code. */
function conclude({ facts, durationMs }: DemoReport, screen: Screen): number {
  const held = facts.filter((fact) => fact.held).length;
  screen.line();
  screen.line(`${held} of ${facts.length} checks passed, in ${(durationMs / 1000).toFixed(1)} s`);
  return held === facts.length ? 0 : 1;
}

/** Runs `cpis demo`. Returns the exit code. Always stops server and receivers and removes the folder. */
export async function demo(args: readonly string[], io: CommandIo): Promise<number> {
  const { values } = readArguments(args, {
    exit: { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  });
  if (values.help) {
    io.stdout.write(usage);
    return 0;
  }
  const screen = openScreen(process.stdout);
  const signalled = new Promise<'signal'>((resolve) => {
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => resolve('signal'));
  });
  const world = await openDemoWorld();
  let exitCode = 0;
  let outcome: DemoReport | 'signal' | undefined;
  try {
    outcome = await Promise.race([runDemo(world, screen), signalled]);
    if (outcome !== 'signal') {
      exitCode = conclude(outcome, screen);
      if (!values.exit) {
        screen.line('The server keeps running. Press Ctrl-C to stop it and remove its folder.');
        await signalled;
      }
    }
  } catch (error) {
    screen.fact('the demo completed', false, error instanceof Error ? error.message : String(error));
    exitCode = 1;
  } finally {
    await world.close();
  }
  // The interrupted step may still be waiting, which would keep the process alive.
  if (outcome === 'signal') process.exit(interrupted);
  return exitCode;
}
