/**
 * Runs the real dispatcher in virtual time, through outages, crashes and clock changes drawn from a seed.
 * `SIMULATION_SEED=1234` replays one seed and prints its plan; `SIMULATION_SEEDS=2000` runs that many, and
 * `SIMULATION_FIRST_SEED=5001` starts at another one.
 */
import t from 'tap';
import type { SimulationPlan } from '../../support/simulation/plan.ts';
import { simulateDelivery } from '../../support/simulation/simulate-delivery.ts';

const { SIMULATION_SEED: one, SIMULATION_SEEDS: many = '300', SIMULATION_FIRST_SEED: first = '1' } = process.env;
const seeds =
  one === undefined ? Array.from({ length: Number(many) }, (_, index) => Number(first) + index) : [Number(one)];

t.test('for every seed, nothing is lost, nothing reaches another authority, and the 24 hours are kept', async (t) => {
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
});

t.test('a crash or a stop at every step of a small outage', { skip: one !== undefined }, async (t) => {
  const trouble = { fromMs: 0, toMs: 20_000, kind: 'status', status: 503, retryAfterMs: undefined } as const;
  const lost = { fromMs: 20_000, toMs: 60_000, kind: 'loses-answers', status: 200, retryAfterMs: undefined } as const;
  const planned = (crashes: SimulationPlan['crashes'], processes: 1 | 2): SimulationPlan => ({
    durationMs: 10 * 60_000,
    processes,
    authorities: [
      {
        id: 'A',
        endpoints: [[trouble, lost], []],
        off: [],
        narrow: [{ fromMs: 0, toMs: 90_000 }],
        requested: [{ fromMs: 5_000, toMs: 15_000, endpoint: 1 }],
      },
    ],
    events: (['a', 'b', 'a'] as const).map((kind, index) => ({
      id: `e${index}`,
      authority: 'A',
      kind,
      atMs: index * 10_000,
      poison: undefined,
      poisonSpares: undefined,
    })),
    crashes,
    storeTroubles: [],
    clockJumps: [],
  });
  for (const processes of [1, 2] as const) {
    for (const clean of [false, true]) {
      const { steps } = await simulateDelivery(7, planned([], processes));
      for (let atStep = 1; atStep <= steps; atStep += 1) {
        const crash = { atStep, process: 0, downMs: 1_000, clean };
        const { broken } = await simulateDelivery(7, planned([crash], processes));
        if (broken.length > 0) t.same(broken, [], `${processes} processes, step ${atStep}, ${clean ? 'stop' : 'kill'}`);
      }
      t.ok(steps > 50, `${steps} steps of ${processes} processes, ${clean ? 'stops' : 'kills'}`);
    }
  }
});

t.test('a breach is judged by real time, whatever the clock does', { skip: one !== undefined }, async (t) => {
  const hourMs = 60 * 60_000;
  for (const [outageHours, jumpHours] of [
    [3, 24],
    [22, 24],
    [26, 24],
    [26, -24],
    [23, -24],
    [26, 0],
  ] as const) {
    for (const processes of [1, 2] as const) {
      const down = {
        fromMs: 0,
        toMs: outageHours * hourMs,
        kind: 'status',
        status: 503,
        retryAfterMs: undefined,
      } as const;
      const plan: SimulationPlan = {
        durationMs: 30 * hourMs,
        processes,
        authorities: [{ id: 'A', endpoints: [[down]], off: [], narrow: [], requested: [] }],
        events: Array.from({ length: 3 }, (_, index) => ({
          ...{ id: `e${index}`, authority: 'A', kind: 'a' as const, poison: undefined, poisonSpares: undefined },
          atMs: index * 1_000,
        })),
        crashes: [],
        storeTroubles: [],
        clockJumps: [{ atMs: hourMs, byMs: jumpHours * hourMs }],
      };
      const { broken } = await simulateDelivery(7, plan);
      t.same(broken, [], `${outageHours} h down, the clock jumps by ${jumpHours} h, ${processes} processes`);
    }
  }
});
