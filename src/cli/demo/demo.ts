import { openDemoWorld } from './demo-world.ts';
import { runDemo } from './run-demo.ts';
import { openScreen } from './screen.ts';

interface DemoOptions {
  /** False: the server runs on until Ctrl-C. */
  readonly exitAtEnd: boolean;
}

const interrupted = 130;

/**
 * Shows the whole product on this machine. Exit code: 0 when every fact held, 1 when one did not or a step failed, 130
 * when it was interrupted before its end. Server, receivers and folder are gone when it returns.
 */
export async function demo({ exitAtEnd }: DemoOptions): Promise<void> {
  const screen = openScreen(process.stdout);
  const signalled = new Promise<'signal'>((resolve) => {
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.once(signal, () => resolve('signal'));
  });
  const world = await openDemoWorld();
  try {
    const report = await Promise.race([runDemo(world, screen), signalled]);
    if (report === 'signal') {
      process.exitCode = interrupted;
      return;
    }
    const failed = report.facts.filter(({ held }) => !held).length;
    const seconds = (report.durationMs / 1000).toFixed(1);
    screen.line();
    screen.line(`${report.facts.length - failed} of ${report.facts.length} facts held, in ${seconds} s`);
    process.exitCode = failed === 0 ? 0 : 1;
    if (exitAtEnd) return;
    screen.line('The server runs on; Ctrl-C ends it and removes its folder.');
    await signalled;
  } catch (error) {
    process.exitCode = 1;
    screen.fact('the demo came to its end', false, error instanceof Error ? error.message : String(error));
  } finally {
    await world.close();
    // A step that was interrupted may still wait for something; everything it used is gone.
    process.exit();
  }
}
