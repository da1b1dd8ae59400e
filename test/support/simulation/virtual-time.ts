/** Virtual time of one simulation. It advances only in `runUntil`. */
export interface VirtualTime {
  /** Milliseconds since the start. */
  readonly elapsedMs: number;
  /** Steps taken so far. */
  readonly steps: number;
  /**
   * Runs `run` after `delayMs`; timers of the same moment run in the order of the calls. Returns a function that
   * cancels it.
   */
  after(delayMs: number, run: () => void): () => void;
  /** Runs every timer up to a time. After each, waits until all promises that can settle have settled. */
  runUntil(elapsedMs: number): Promise<void>;
}

interface Timer {
  readonly atMs: number;
  readonly order: number;
  run: (() => void) | undefined;
}

const isBefore = (a: Timer, b: Timer): boolean => a.atMs < b.atMs || (a.atMs === b.atMs && a.order < b.order);

export function openVirtualTime(onStep: (step: number) => void = () => undefined): VirtualTime {
  /** A binary heap, the next timer first. */
  const heap: Timer[] = [];
  let elapsedMs = 0;
  let order = 0;
  let steps = 0;

  const at = (index: number): Timer => {
    const timer = heap[index];
    if (timer === undefined) throw new Error('beyond the heap');
    return timer;
  };
  const swap = (a: number, b: number): void => {
    const held = at(a);
    heap[a] = at(b);
    heap[b] = held;
  };
  function push(timer: Timer): void {
    heap.push(timer);
    for (let index = heap.length - 1; index > 0; ) {
      const parent = (index - 1) >> 1;
      if (!isBefore(at(index), at(parent))) return;
      swap(index, parent);
      index = parent;
    }
  }
  function pop(): Timer {
    const first = at(0);
    const last = heap.pop();
    if (heap.length === 0 || last === undefined) return first;
    heap[0] = last;
    for (let index = 0; ; ) {
      const [left, right] = [2 * index + 1, 2 * index + 2];
      let least = index;
      if (left < heap.length && isBefore(at(left), at(least))) least = left;
      if (right < heap.length && isBefore(at(right), at(least))) least = right;
      if (least === index) return first;
      swap(index, least);
      index = least;
    }
  }

  return {
    get elapsedMs() {
      return elapsedMs;
    },
    get steps() {
      return steps;
    },
    after: (delayMs, run) => {
      const timer: Timer = { atMs: elapsedMs + Math.max(0, delayMs), order: order++, run };
      push(timer);
      return () => {
        timer.run = undefined;
      };
    },
    runUntil: async (endMs) => {
      await new Promise(setImmediate);
      while (heap.length > 0 && at(0).atMs <= endMs) {
        const timer = pop();
        if (timer.run === undefined) continue;
        elapsedMs = Math.max(elapsedMs, timer.atMs);
        steps += 1;
        timer.run();
        onStep(steps);
        await new Promise(setImmediate);
      }
      elapsedMs = endMs;
    },
  };
}
