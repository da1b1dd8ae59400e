/**
 * The real dispatcher in virtual time: thousands of days that never were. `SIMULATION_SEED=1234` replays one seed and tells
 * of its plan, `SIMULATION_SEEDS=100000` runs more of them.
 */
import t from 'tap';
import { simulateDelivery } from '../support/simulation/simulate-delivery.ts';

t.setTimeout(600_000);
const { SIMULATION_SEED: one, SIMULATION_SEEDS: many = '2000' } = process.env;
const seeds = one === undefined ? Array.from({ length: Number(many) }, (_, index) => index + 1) : [Number(one)];

t.test(
  'whatever goes on, nothing is lost, nothing goes astray, and the 24 hours are kept',
  { timeout: 600_000 },
  async (t) => {
    let [steps, requests, failures] = [0, 0, 0];
    for (const seed of seeds) {
      const report = await simulateDelivery(seed);
      steps += report.steps;
      requests += report.requests;
      if (report.broken.length > 0) {
        failures += 1;
        if (failures <= 5) t.same(report.broken, [], `SIMULATION_SEED=${seed}`);
      }
      if (one !== undefined) t.comment(JSON.stringify(report.plan, null, 1));
    }
    t.equal(failures, 0, `of ${seeds.length} seeds`);
    t.ok(requests >= seeds.length, `${requests} requests in ${steps} steps`);
  },
);
