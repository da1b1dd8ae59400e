/** Runs each group's items one after another, and up to `concurrency` groups at the same time. */
export async function runGroups<T>(
  groups: readonly (readonly T[])[],
  concurrency: number,
  run: (item: T) => Promise<void>,
): Promise<void> {
  let next = 0;
  async function work(): Promise<void> {
    for (let group = groups[next++]; group !== undefined; group = groups[next++]) {
      for (const item of group) await run(item);
    }
  }
  await Promise.all(Array.from({ length: Math.min(concurrency, groups.length) }, work));
}
