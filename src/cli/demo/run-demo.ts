import { performance } from 'node:perf_hooks';
import { londonDate } from '../../cpis/london-date.ts';
import { openCurlHeader } from './stage/curl-header.ts';
import { makeDemoChildren } from './stage/demo-children.ts';
import type { DemoWorld } from './stage/demo-world.ts';
import type { Screen } from './stage/screen.ts';
import { type Fact, openStage } from './stage/stage.ts';
import { showAccessHistory } from './steps/access-history.ts';
import { amendAndEnd } from './steps/amend.ts';
import { begin } from './steps/begin.ts';
import { type CrashCounts, crash } from './steps/crash.ts';
import { farewell } from './steps/farewell.ts';
import { lookUpFive } from './steps/look-up.ts';
import { showNotifications } from './steps/notifications.ts';
import { resolveConflict } from './steps/resolve-conflict.ts';
import { submit } from './steps/submit.ts';
import { subscribeAll } from './steps/subscribe.ts';
import { letTimePass } from './steps/time-passes.ts';

/** The outcome of a demo as data. */
export interface DemoReport {
  readonly facts: readonly Fact[];
  readonly crash: CrashCounts;
  readonly durationMs: number;
}

/** Plays all steps in a world whose server is not started yet. Rejects if a step fails altogether. */
export async function runDemo(world: DemoWorld, screen: Screen): Promise<DemoReport> {
  const startedMs = performance.now();
  const { stage, facts } = openStage(world, screen);
  const children = makeDemoChildren(londonDate(Date.now()));
  const shared = children.sharedChild[0].nhsNumber;
  screen.line('CP-IS with synthetic data: the real server in its own process, real HTTP on both sides.');
  screen.step(1, 'The server starts');
  await begin(stage);
  screen.step(2, 'Local authorities subscribe');
  await subscribeAll(stage);
  screen.step(3, 'Local authorities submit their plans');
  await submit(stage, children);
  screen.step(4, 'An EPR looks up five children');
  const lookUps = await lookUpFive(stage, children);
  screen.step(5, 'The authorities are notified');
  await showNotifications(stage, lookUps);
  screen.step(6, 'The access history of a child');
  await showAccessHistory(stage, shared, lookUps);
  screen.step(7, 'An authority amends and ends a plan');
  await amendAndEnd(stage, children);
  screen.step(8, 'Two authorities state different birth dates');
  await resolveConflict(stage, children);
  screen.step(9, 'Time passes');
  await letTimePass(stage, children);
  screen.step(10, 'kill -9 under load');
  const counts = await crash(stage, children);
  screen.step(11, 'Try it');
  await farewell(stage, children, await openCurlHeader(world));
  return { facts, crash: counts, durationMs: performance.now() - startedMs };
}
