import { openDemoWorld } from './demo-world.ts';
import { type DemoReport, runDemo } from './run-demo.ts';
import { openScreen, type Screen } from './screen.ts';

interface DemoOptions {
  /** False: the server runs on until Ctrl-C. */
  readonly exitAtEnd: boolean;
}

const interrupted = 130;

/** Gives the exit code. */
function conclude({ facts, durationMs }: DemoReport, screen: Screen): number {
  const held = facts.filter((fact) => fact.held).length;
  screen.line();
  screen.line(`${held} of ${facts.length} facts held, in ${(durationMs / 1000).toFixed(1)} s`);
  return held === facts.length ? 0 : 1;
}

/**
 * Shows the whole product on this machine. Exit code: 0 when every fact held, 1 when one did not or a step failed, 130
 * when it was interrupted before its end. Server, receivers and folder are gone when it ends.
 */
export async function demo({ exitAtEnd }: DemoOptions): Promise<void> {
  const screen = openScreen(process.stdout);
  const signalled = new Promise<'signal'>((resolve) => {
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => resolve('signal'));
  });
  const world = await openDemoWorld();
  let outcome: DemoReport | 'signal' | undefined;
  try {
    outcome = await Promise.race([runDemo(world, screen), signalled]);
    if (outcome !== 'signal') {
      process.exitCode = conclude(outcome, screen);
      if (!exitAtEnd) {
        screen.line('The server runs on; Ctrl-C ends it and removes its folder.');
        await signalled;
      }
    }
  } catch (error) {
    screen.fact('the demo came to its end', false, error instanceof Error ? error.message : String(error));
    process.exitCode = 1;
  } finally {
    await world.close();
  }
  // The step that was interrupted may still wait for something.
  if (outcome === 'signal') process.exit(interrupted);
}
