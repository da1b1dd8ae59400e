import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { RunningWorld } from './running-server.ts';

interface Term {
  readonly validFrom?: string;
  readonly validTo?: string;
  readonly replacedBy?: readonly string[];
  readonly referenceSystems?: readonly string[];
}

/** Writes terms of authorities, by id, into the registry file of a world, and reloads it. Others lose theirs. */
export async function setTerms(
  { folder, server }: Pick<RunningWorld, 'folder' | 'server'>,
  terms: Record<string, Term>,
): Promise<void> {
  const file = join(folder, 'registry.json');
  const { organisations, clients } = JSON.parse(readFileSync(file, 'utf8')) as {
    organisations: { gssCode?: string }[];
    clients: unknown[];
  };
  const changed = organisations.map((organisation) => {
    const {
      validFrom: _,
      validTo: __,
      replacedBy: ___,
      referenceSystems: ____,
      ...rest
    } = organisation as Term & { gssCode?: string };
    return { ...rest, ...terms[rest.gssCode ?? ''] };
  });
  writeFileSync(file, JSON.stringify({ organisations: changed, clients }));
  const problems = await server.reloadRegistry();
  if (problems.length > 0) throw new Error(problems.join('; '));
}
