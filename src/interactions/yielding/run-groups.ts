/** Runs each lane's items one after another, and up to `concurrency` lanes at once. */
export async function inLanes<T>(
  lanes: readonly (readonly T[])[],
  concurrency: number,
  run: (item: T) => Promise<void>,
): Promise<void> {
  let next = 0;
  async function work(): Promise<void> {
    for (let lane = lanes[next++]; lane !== undefined; lane = lanes[next++]) {
      for (const item of lane) await run(item);
    }
  }
  await Promise.all(Array.from({ length: Math.min(concurrency, lanes.length) }, work));
}
