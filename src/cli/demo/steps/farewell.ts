import { readFileSync } from 'node:fs';
import type { DemoChildren } from '../stage/demo-children.ts';
import type { Stage } from '../stage/stage.ts';

/** Lists texts that must not be in the log: numbers and names of children, names of professionals, tokens. */
async function listSecrets({ world }: Stage, children: DemoChildren): Promise<string[]> {
  const clients = [...world.authorities, ...world.careProviders].map(({ client }) => client);
  const plans = children.records.flat();
  return [
    ...plans.flatMap(({ nhsNumber, family }) => [nhsNumber, family]),
    children.withoutPlan,
    ...world.careProviders.map(({ professional }) => professional),
    ...world.authorities.map(({ authorization }) => authorization),
    ...(await Promise.all(clients.map((client) => client.token()))),
  ];
}

/** Shows the URLs and two requests to try, and checks that both succeed. */
export async function farewell(stage: Stage, children: DemoChildren, headerFile: string): Promise<void> {
  const { world, screen, check } = stage;
  const secrets = await listSecrets(stage, children);
  const log = world.readServerLog();
  const lines = log.split('\n').length - 1;
  check(
    'the server log holds no NHS number, name or token',
    !secrets.some((text) => log.includes(text)),
    `${lines} lines`,
  );
  const authorization = readFileSync(headerFile, 'utf8').trim().slice('Authorization: '.length);
  const nhsNumber = children.sharedChild[0].nhsNumber;
  const urls = [`${world.baseUrl}/Flag?patient=${nhsNumber}`, `${world.baseUrl}/AuditEvent?patient=${nhsNumber}`];
  const statuses = await Promise.all(
    urls.map(async (url) => {
      const response = await fetch(url, { headers: { authorization } });
      await response.arrayBuffer();
      return response.status;
    }),
  );
  screen.table([
    ['FHIR base', world.baseUrl],
    ['metadata', `${world.baseUrl}/metadata`],
    ['health', `${world.origin}/health/ready`],
  ]);
  for (const url of urls) {
    screen.line();
    screen.line(`curl -s -H @${headerFile} \\`);
    screen.line(`  '${url}'`);
  }
  screen.line();
  check(
    'both requests succeed',
    statuses.every((status) => status === 200),
  );
}
