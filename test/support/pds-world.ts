import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Store } from '../../src/store/store.ts';
import { type StandInPdsProcess, startStandInPds } from '../../src/synthetic/stand-in-pds-process.ts';
import type { SyntheticPlan } from '../../src/synthetic/synthetic-plan.ts';
import { makeClientKeys } from './keys.ts';
import { openWorld, type RunningWorld, type Teardown } from './running-server.ts';
import { makeTempFolder } from './temp-folder.ts';

export interface PdsWorld extends RunningWorld {
  readonly store: Store;
  readonly pds: StandInPdsProcess;
  /** Makes PDS know the children of these plans. */
  know(...plans: readonly SyntheticPlan[]): Promise<void>;
}

/** Opens a world whose server asks the stand-in for PDS, a process of its own. */
export async function openPdsWorld(
  t: Teardown,
  settings: Readonly<Record<string, string>> = {},
  subscriptionOrigins: readonly string[] = [],
): Promise<PdsWorld> {
  const keyFile = join(makeTempFolder(t), 'pds-key.json');
  writeFileSync(keyFile, JSON.stringify((await makeClientKeys('pds', 'RS512')).privateJwk), { mode: 0o600 });
  const pds = await startStandInPds(keyFile);
  process.once('exit', pds.killNow);
  t.teardown(pds.stop);
  let store: Store | undefined;
  const world = await openWorld(t, {
    subscriptionOrigins,
    aroundStore: (opened) => {
      store = opened;
      return opened;
    },
    settings: { ...pds.settings, CPIS_PDS_RATE: '1000', CPIS_PDS_CACHE_AGE_S: '0', ...settings },
  });
  if (store === undefined) throw new Error('the server has no store');
  return {
    ...world,
    store,
    pds,
    know: (...plans) =>
      pds.put(
        plans.map(({ nhsNumber, family, given, birthDate }) => ({
          number: nhsNumber,
          family,
          given: [given],
          birthDate,
        })),
      ),
  };
}
