/** The columns of an extract. A test compares them with docs/command-line.md. */
export const planColumns = {
  reference: { required: true },
  nhs_number: { required: true },
  family_name: { required: true },
  given_names: { required: false },
  birth_date: { required: true },
  plan_type: { required: true },
  start_date: { required: true },
  end_date: { required: false },
  due_date: { required: false },
  withdrawn: { required: false },
} as const;

export type PlanColumn = keyof typeof planColumns;

/** The position of each column that the extract has. */
export type ColumnPlaces = ReadonlyMap<PlanColumn, number>;

const isPlanColumn = (name: string): name is PlanColumn => Object.hasOwn(planColumns, name);

/** Reads the header record. Returns a text if a column is unknown, repeated or missing, because it may be misspelt. */
export function readHeader(cells: readonly string[], ignoreUnknown: boolean): ColumnPlaces | string {
  const places = new Map<PlanColumn, number>();
  for (const [place, cell] of cells.entries()) {
    const name = cell.trim().toLowerCase();
    if (!isPlanColumn(name)) {
      if (ignoreUnknown) continue;
      return `column ${place + 1} is not known; correct its name, or ignore it with --ignore-unknown-columns`;
    }
    if (places.has(name)) return `column ${name} occurs twice`;
    places.set(name, place);
  }
  const names = Object.keys(planColumns).filter(isPlanColumn);
  const missing = names.filter((name) => planColumns[name].required && !places.has(name));
  return missing.length === 0 ? places : `these columns are missing: ${missing.join(', ')}`;
}
