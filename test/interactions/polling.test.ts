/** The third way to learn of accesses: a search by `_lastUpdated`, as docs/interactions/subscriptions.md says. */
import type { AuditEvent, Bundle } from 'fhir/r4.js';
import t from 'tap';
import type { FhirResponse } from '../../src/synthetic/fhir-client.ts';
import { buildRecord } from '../../src/synthetic/synthetic-plan.ts';
import { openWorld } from '../support/running-server.ts';
import { postBundle, resourcesOf, submit, unbornPlan } from '../support/submissions.ts';

const overlapMs = 120_000;

t.test(
  'polling under writes: each event is found, and each walk along the pages is in order without a repetition',
  async (t) => {
    const world = await openWorld(t);
    const [la, otherLa] = world.authorities;
    if (la === undefined || otherLa === undefined) throw new Error('the registry is incomplete');
    const plans = Array.from({ length: 8 }, () => unbornPlan());
    await submit(la, ...plans);
    const startMs = Date.now() - 1_000;
    let writing = true;

    const readers = world.careProviders.flatMap((epr) =>
      [0, 1].map(async () => {
        for (let round = 0; round < 60; round += 1) {
          const { nhsNumber } = plans[round % plans.length] ?? unbornPlan();
          const { status } = await epr.request('GET', `Flag?patient=${nhsNumber}`);
          if (status !== 200) throw new Error(`the look-up was answered ${status}`);
        }
      }),
    );
    const writers = [la, otherLa].map(async (client) => {
      for (let round = 0; round < 12; round += 1) {
        const children = plans.slice(0, 4).map((plan) => ({ ...plan, reference: `${round}-${plan.reference}` }));
        const { status } = await postBundle(client, 'transaction', children.flatMap(buildRecord));
        if (status !== 200) throw new Error(`the transaction was answered ${status}`);
      }
    });

    /** Along the links of the pages. */
    const walk = async (first: string): Promise<AuditEvent[]> => {
      const walked: AuditEvent[] = [];
      for (let path: string | undefined = first; path !== undefined; ) {
        const page: FhirResponse<Bundle> = await la.request<Bundle>('GET', path);
        if (page.status !== 200) throw new Error(`the poll was answered ${page.status}`);
        walked.push(...resourcesOf<AuditEvent>(page));
        const next = page.body.link?.find(({ relation }) => relation === 'next');
        path = next?.url.slice(world.server.baseUrl.length + 1);
      }
      return walked;
    };
    const known = new Map<string, string>();
    let lastMs = startMs;
    let walks = 0;
    const poll = async (): Promise<void> => {
      walks += 1;
      const sinceMs = Math.max(startMs, lastMs - overlapMs);
      const since = `_lastUpdated=ge${new Date(sinceMs).toISOString()}`;
      const walked = await walk(`AuditEvent?${since}&_sort=_lastUpdated&_count=25`);
      const ids = walked.map(({ id = '' }) => id);
      const times = walked.map(({ meta }) => meta?.lastUpdated ?? '');
      if (new Set(ids).size !== ids.length) t.fail('an event stands twice in one walk');
      if (times.some((time, index) => time < (times[index - 1] ?? ''))) t.fail('a walk is not in order');
      for (const [index, id] of ids.entries()) known.set(id, times[index] ?? '');
      lastMs = Math.max(lastMs, ...times.map((time) => Date.parse(time)));
    };
    const polling = (async () => {
      while (writing) await poll();
    })();
    await Promise.all([...readers, ...writers]);
    writing = false;
    await polling;
    await poll();

    const range = `_lastUpdated=ge${new Date(startMs).toISOString()}&_lastUpdated=le${new Date(lastMs).toISOString()}`;
    const whole = await walk(`AuditEvent?${range}&_count=100`);
    const searches = whole.filter(({ subtype }) => subtype?.[0]?.code === 'search-type');
    t.ok(searches.length >= 240, `${searches.length} look-ups among ${whole.length} events, ${walks} walks`);
    t.same(
      whole.filter(({ id = '' }) => !known.has(id)).map(({ id }) => id),
      [],
      'none was missed',
    );
  },
);
