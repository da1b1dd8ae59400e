import type { Bundle, OperationOutcome } from 'fhir/r4.js';
import { buildBatch } from '../../../synthetic/synthetic-plan.ts';
import type { DemoChildren } from '../stage/demo-children.ts';
import type { Stage } from '../stage/stage.ts';

interface Refusal {
  readonly authority: number;
  readonly reference: string;
  readonly type: string;
  readonly status: string;
  readonly reason: string;
}

/** Breaks text into lines of at most `width` characters. */
function wrap(text: string, width: number): string[] {
  const lines: string[] = [];
  let line = '';
  for (const word of text.split(' ')) {
    if (line !== '' && line.length + 1 + word.length > width) {
      lines.push(line);
      line = word;
    } else line = line === '' ? word : `${line} ${word}`;
  }
  return [...lines, line];
}

function countStatuses(bundle: Bundle): string {
  const counts = new Map<string, number>();
  for (const entry of bundle.entry ?? []) {
    const status = entry.response?.status ?? 'no response';
    counts.set(status, (counts.get(status) ?? 0) + 1);
  }
  return [...counts].map(([status, count]) => `${count} × ${status}`).join(', ');
}

/** Submits the plans of the authorities in batches. One record has a birth date in the future. */
export async function submit({ world, screen, check }: Stage, children: DemoChildren): Promise<void> {
  const rows: string[][] = [];
  const refusals: Refusal[] = [];
  let stored = 0;
  for (const [index, { name, client }] of world.authorities.entries()) {
    const plans = children.records[index] ?? [];
    const { body } = await client.request<Bundle>('POST', '', buildBatch(plans));
    rows.push([name, `${plans.length} records`, countStatuses(body)]);
    for (const [position, entry] of (body.entry ?? []).entries()) {
      const status = entry.response?.status ?? '';
      if (status.startsWith('2')) stored += 1;
      else {
        const outcome = entry.response?.outcome as OperationOutcome | undefined;
        refusals.push({
          authority: index,
          reference: plans[Math.floor(position / 2)]?.reference ?? '',
          type: position % 2 === 0 ? 'Patient' : 'Flag',
          status,
          reason: outcome?.issue[0]?.diagnostics ?? '',
        });
      }
    }
  }
  screen.note(`POST Bundle (batch) of Patient and Flag: plans on ${children.count} synthetic people`);
  screen.table(rows);
  for (const { reference, type, status, reason } of refusals) {
    screen.line(`refused: ${reference} ${type}, ${status}`);
    for (const line of wrap(reason, 88)) screen.line(`    ${line}`);
  }
  const records = children.records.flat();
  const kinds = new Set(records.map((plan) => plan.kind.code)).size;
  check(
    `${records.length - 1} plans of ${kinds} kinds were stored`,
    stored === 2 * (records.length - 1) && kinds === 3,
  );
  const [patient, flag] = refusals;
  const onlyWrong =
    refusals.length === 2 && refusals.every(({ reference }) => reference === children.wrongChild.reference);
  check(
    'only the record with the birth date in the future was refused, with the reason',
    onlyWrong && patient?.status.startsWith('422') === true && flag?.status.startsWith('422') === true,
  );
}
