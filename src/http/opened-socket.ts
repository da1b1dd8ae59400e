/** An open WebSocket, as `ServerOptions.acceptSocket` gets it. */
export interface OpenedSocket {
  /** Network address of the other side. */
  readonly address: string;
  /** SHA-256 thumbprint of its verified TLS client certificate, if it has one. */
  readonly certificate?: string;
  /** Resolves when the text has left this process. Rejects if it no longer can. */
  send(text: string): Promise<void>;
  close(code: number, reason: string): void;
  /** Calls the listener with each text message. */
  onMessage(listener: (text: string) => void): void;
  onClose(listener: () => void): void;
}
