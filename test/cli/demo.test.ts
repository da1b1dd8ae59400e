import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync } from 'node:fs';
import { PassThrough } from 'node:stream';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import { runDemo } from '../../src/cli/demo/run-demo.ts';
import { openDemoWorld } from '../../src/cli/demo/stage/demo-world.ts';
import { openScreen } from '../../src/cli/demo/stage/screen.ts';
import type { Teardown } from '../support/running-server.ts';

const program = fileURLToPath(new URL('../../bin/cpis.js', import.meta.url));

interface RunningDemo {
  /** Returns everything written so far. */
  output(): string;
  /** Resolves when the output holds the text. */
  shows(text: string): Promise<void>;
  signal(signal: NodeJS.Signals): void;
  readonly ended: Promise<number | null>;
}

function startDemo(t: Teardown, args: readonly string[]): RunningDemo {
  const env = { ...process.env };
  for (const name of ['FORCE_COLOR', 'NO_COLOR', 'NODE_DISABLE_COLORS']) delete env[name];
  const child = spawn(process.execPath, [program, 'demo', ...args], { env, stdio: ['ignore', 'pipe', 'pipe'] });
  let output = '';
  const waiting = new Set<() => void>();
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text: string) => {
      output += text;
      for (const check of [...waiting]) check();
    });
  }
  const ended = once(child, 'close').then(([code]) => code as number | null);
  t.teardown(() => child.kill('SIGKILL'));
  return {
    output: () => output,
    shows: (text) =>
      new Promise((resolve, reject) => {
        const check = (): void => {
          if (!output.includes(text)) return;
          waiting.delete(check);
          resolve();
        };
        waiting.add(check);
        void ended.then(() => reject(new Error(`the demo ended before it showed ${text}:\n${output}`)));
        check();
      }),
    signal: (signal) => void child.kill(signal),
    ended,
  };
}

async function isListening(origin: string): Promise<boolean> {
  try {
    await (await fetch(`${origin}/health/live`)).arrayBuffer();
    return true;
  } catch {
    return false;
  }
}

const originIn = (output: string): string => /http:\/\/127\.0\.0\.1:\d+(?=\/FHIR\/R4)/.exec(output)?.[0] ?? '';

t.test('demo --exit shows that every check passed, in plain text when piped, and leaves nothing behind', async (t) => {
  const demo = startDemo(t, ['--exit']);
  t.equal(await demo.ended, 0, 'exit code');
  const output = demo.output();
  // biome-ignore lint/suspicious/noControlCharactersInRegex: the test looks for control characters
  t.notMatch(output, /[\u0000-\u0009\u000b-\u001f]/, 'no ANSI sequence');
  t.notMatch(output, /✗/);
  t.ok((output.match(/✓/g) ?? []).length >= 20, 'facts are printed');
  const wide = output.split('\n').filter((line) => line.length > 100);
  t.strictSame(wide, [], 'no line is wider than 100 columns');
  t.notOk(await isListening(originIn(output)), 'the server is gone');
  const folder = /@(\S+)\/epr\.header/.exec(output)?.[1] ?? '';
  t.match(folder, /cpis-demo-/);
  t.notOk(existsSync(folder), 'the folder is gone');
});

t.test('returns the facts and counts as data, and keeps the server running until the world closes', async (t) => {
  const world = await openDemoWorld();
  t.teardown(() => world.close());
  const report = await runDemo(world, openScreen(new PassThrough().resume()));
  t.strictSame(
    report.facts.filter(({ held }) => !held),
    [],
  );
  t.equal(new Set(report.facts.map(({ name }) => name)).size, report.facts.length, 'each fact has its own name');
  const { crash } = report;
  t.ok(crash.acknowledgedBeforeKill > 0, `${crash.acknowledgedBeforeKill} reads before the kill`);
  t.ok(crash.acknowledgedReads > crash.acknowledgedBeforeKill, `${crash.acknowledgedReads} in all`);
  t.ok(crash.auditEvents >= crash.acknowledgedReads);
  t.ok(crash.owed > crash.auditEvents, 'the shared child has two owners');
  t.equal(crash.delivered, crash.owed);
  t.match(crash, { unauditedReads: 0, undelivered: 0, strays: 0 });
  t.ok(await isListening(world.origin));
  t.match(readFileSync(`${world.folder}/epr.header`, 'utf8'), /^Authorization: Bearer \S+\n$/);
  await world.close();
  t.notOk(await isListening(world.origin));
  t.notOk(existsSync(world.folder));
  await t.rejects(world.server.start(), /stopped for good/);
});

t.test('Ctrl-C ends the demo and its server: exit 130 during the demo, 0 after its end', async (t) => {
  const early = startDemo(t, []);
  await early.shows('kill -9 after');
  early.signal('SIGINT');
  t.equal(await early.ended, 130);
  t.notOk(await isListening(originIn(early.output())));

  const late = startDemo(t, []);
  await late.shows('Press Ctrl-C');
  t.ok(await isListening(originIn(late.output())), 'it runs on');
  late.signal('SIGTERM');
  t.equal(await late.ended, 0);
  t.notOk(await isListening(originIn(late.output())));
});
