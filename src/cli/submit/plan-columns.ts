/** The columns of an extract. docs/command-line.md has the same rows; a test holds both together. */
export const planColumns = {
  reference: { required: true },
  nhs_number: { required: true },
  family_name: { required: true },
  given_names: { required: false },
  birth_date: { required: true },
  plan_type: { required: true },
  start_date: { required: true },
  end_date: { required: false },
  withdrawn: { required: false },
} as const;

export type PlanColumn = keyof typeof planColumns;

/** Where each column is; a column that the extract does not have is missing. */
export type ColumnPlaces = ReadonlyMap<PlanColumn, number>;

const isPlanColumn = (name: string): name is PlanColumn => Object.hasOwn(planColumns, name);

/** Reads the header record. A text tells what is wrong with it: a misspelt column must not go unnoticed. */
export function readHeader(cells: readonly string[], ignoreUnknown: boolean): ColumnPlaces | string {
  const places = new Map<PlanColumn, number>();
  for (const [place, cell] of cells.entries()) {
    const name = cell.trim().toLowerCase();
    if (!isPlanColumn(name)) {
      if (ignoreUnknown) continue;
      return `column ${place + 1} is not known; --ignore-unknown-columns passes over such columns`;
    }
    if (places.has(name)) return `column ${name} is there twice`;
    places.set(name, place);
  }
  const names = Object.keys(planColumns).filter(isPlanColumn);
  const missing = names.filter((name) => planColumns[name].required && !places.has(name));
  return missing.length === 0 ? places : `these columns are missing: ${missing.join(', ')}`;
}
