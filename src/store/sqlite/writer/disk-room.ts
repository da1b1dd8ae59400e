/** How often a store on a full disk tries whether there is room again. */
const probeEveryMs = 1_000;

export interface DiskRoom {
  /** False from the first write that fails for want of space until one succeeds. */
  readonly isThere: boolean;
  /** Call when a write has failed for want of space. */
  markFull(): void;
  /** Call when a commit has succeeded. */
  markRoom(): void;
  /** Ends the tries. */
  close(): void;
}

/**
 * Watches whether the disk has room. A store without room gets no requests that could show that there is some again, so
 * `write`, which rejects while there is none, is tried from time to time. Calls `onChange` when the disk is full, and when
 * there is room again.
 */
export function watchDiskRoom(write: () => Promise<unknown>, onChange: (isThere: boolean) => void): DiskRoom {
  let probes: NodeJS.Timeout | undefined;

  const probe = async (): Promise<void> => {
    try {
      await write();
    } catch {
      return;
    }
    markRoom();
  };
  const markRoom = (): void => {
    if (probes === undefined) return;
    clearInterval(probes);
    probes = undefined;
    onChange(true);
  };

  return {
    get isThere() {
      return probes === undefined;
    },
    markFull() {
      if (probes !== undefined) return;
      probes = setInterval(probe, probeEveryMs);
      probes.unref();
      onChange(false);
    },
    markRoom,
    close() {
      clearInterval(probes);
    },
  };
}
