import type { ServerConnection } from '@jupyterlab/services';
import type { TranslationBundle } from '@jupyterlab/translation';
import { DisposableDelegate, type IDisposable } from '@lumino/disposable';
import { Poll } from '@lumino/polling';
import { type ISignal, Signal } from '@lumino/signaling';
import { SeriesStore } from './series';
import { handshake, keepAlive, VersionMismatchError } from './request';
import { type Message, Stream } from './stream';
import type { ICompute, IConnection, ISeries, ISkyTorchModel } from './tokens';

/** Follows the Jupyter server extension while somebody looks at a page that is in view. */
export class SkyTorchModel implements ISkyTorchModel {
  constructor(options: SkyTorchModel.IOptions) {
    this._settings = options.serverSettings;
    this._trans = options.trans;
    this._poll = new Poll({
      auto: false,
      name: 'jupyter-skytorch:stream',
      factory: () => this._follow(),
      frequency: { interval: 1000, backoff: true, max: 30 * 1000 },
      linger: 0,
      standby: 'when-hidden'
    });
    document.addEventListener('visibilitychange', this._onVisibilityChange);
  }

  get changed(): ISignal<this, void> {
    return this._changed;
  }

  get connection(): IConnection {
    return this._connection;
  }

  get computes(): ReadonlyArray<ICompute> {
    return this._computes;
  }

  get historySeconds(): number {
    return this._store.seconds;
  }

  set historySeconds(seconds: number) {
    this._store.seconds = seconds;
    this._changed.emit();
  }

  get isDisposed(): boolean {
    return this._isDisposed;
  }

  series(computeId: string): ISeries[] {
    return this._store.of(computeId);
  }

  async keepAlive(computeId: string, sessionId: string): Promise<void> {
    await keepAlive(computeId, sessionId, this._settings);
  }

  look(): IDisposable {
    this._lookers += 1;
    if (this._lookers === 1) {
      this._set({ state: 'connecting', message: '' });
      void this._poll.start();
    }
    return new DisposableDelegate(() => {
      this._lookers -= 1;
      if (this._lookers === 0 && !this._isDisposed) {
        this._look += 1;
        void this._poll.stop();
        this._stream?.dispose();
        this._set({ state: 'idle', message: '' });
      }
    });
  }

  dispose(): void {
    if (this._isDisposed) {
      return;
    }
    this._isDisposed = true;
    document.removeEventListener('visibilitychange', this._onVisibilityChange);
    this._poll.dispose();
    this._stream?.dispose();
    Signal.clearData(this);
  }

  /** One connection from its beginning to its end. Rejects when it brought nothing, so that the poll backs off. */
  private async _follow(): Promise<void> {
    const look = this._look;
    try {
      await handshake(this._settings, this._trans);
    } catch (error) {
      const state = error instanceof VersionMismatchError ? 'mismatch' : 'offline';
      const message = state === 'mismatch' ? (error as Error).message : this._offline;
      this._observe({ state, message });
      throw error;
    }
    if (look !== this._look || this._isDisposed || document.hidden) {
      return;
    }
    const stream = (this._stream = new Stream(this._settings, message => this._onMessage(message)));
    const used = await stream.ended;
    if (stream.isDisposed) {
      return;
    }
    this._observe({ state: 'offline', message: this._offline });
    if (!used) {
      throw new Error(this._offline);
    }
  }

  private get _offline(): string {
    return this._trans.__('The Jupyter server does not answer. Trying again…');
  }

  private _onMessage(message: Message): void {
    if (message.type === 'state') {
      this._computes = message.computes;
      this._store.keep(message.computes.map(compute => compute.id));
    } else {
      this._store.add(message.compute, message.series);
    }
    this._set({ state: 'live', message: '' });
  }

  private readonly _onVisibilityChange = (): void => {
    if (document.hidden) {
      // The poll stands by while the page is out of view, and connects again afterwards.
      this._stream?.dispose();
    }
  };

  /** Sets the connection, unless nobody looks any more. */
  private _observe(connection: IConnection): void {
    if (this._lookers > 0 && !this._isDisposed) {
      this._set(connection);
    }
  }

  private _set(connection: IConnection): void {
    this._connection = connection;
    this._changed.emit();
  }

  private readonly _changed = new Signal<this, void>(this);
  private _computes: ICompute[] = [];
  private _connection: IConnection = { state: 'idle', message: '' };
  private _isDisposed = false;
  /** Counts how often looking has ended: what began before is then not to go on. */
  private _look = 0;
  private _lookers = 0;
  private readonly _poll: Poll;
  private readonly _settings: ServerConnection.ISettings;
  private readonly _store = new SeriesStore();
  private _stream: Stream | null = null;
  private readonly _trans: TranslationBundle;
}

export namespace SkyTorchModel {
  export interface IOptions {
    serverSettings: ServerConnection.ISettings;
    trans: TranslationBundle;
  }
}
