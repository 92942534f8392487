import type { ServerConnection } from '@jupyterlab/services';
import type { IDisposable } from '@lumino/disposable';
import { openSocket } from './request';
import type { ICompute, ISeries } from './tokens';

/** What the Jupyter server extension sends; `handlers.py` is the specification. */
export type Message =
  { type: 'state'; computes: ICompute[] } | { type: 'metrics'; compute: string; series: ISeries[] };

/** One live connection to the Jupyter server extension. */
export class Stream implements IDisposable {
  constructor(settings: ServerConnection.ISettings, onMessage: (message: Message) => void) {
    const socket = (this._socket = openSocket(settings));
    this.ended = new Promise(resolve => {
      let used = false;
      socket.onmessage = (event: MessageEvent<string>) => {
        used = true;
        onMessage(JSON.parse(event.data) as Message);
      };
      socket.onclose = () => resolve(used);
    });
  }

  /** Resolves when the connection is closed, by either end; true if it had brought anything. */
  readonly ended: Promise<boolean>;

  get isDisposed(): boolean {
    return this._isDisposed;
  }

  dispose(): void {
    if (this._isDisposed) {
      return;
    }
    this._isDisposed = true;
    this._socket.onmessage = null;
    this._socket.close();
  }

  private _isDisposed = false;
  private readonly _socket: WebSocket;
}
