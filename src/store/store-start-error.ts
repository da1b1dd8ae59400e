/** The store cannot be opened as it is set up: what to change, in words without any secret. The CLI prints it and exits 2. */
export class StoreStartError extends Error {
  /** Whether it may pass by itself: the database is not there yet. */
  readonly mayPass: boolean;

  constructor(message: string, options: { readonly mayPass?: boolean; readonly cause?: unknown } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = 'StoreStartError';
    this.mayPass = options.mayPass ?? false;
  }
}
