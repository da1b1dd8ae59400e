/** The store cannot be opened with its settings. The message says what to change and holds no secret; the CLI prints it. */
export class StoreStartError extends Error {
  /** True if a later try may succeed, because the database is not reachable yet. */
  readonly mayPass: boolean;

  constructor(message: string, options: { readonly mayPass?: boolean; readonly cause?: unknown } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = 'StoreStartError';
    this.mayPass = options.mayPass ?? false;
  }
}
