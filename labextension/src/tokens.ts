import { Token } from '@lumino/coreutils';
import type { IDisposable } from '@lumino/disposable';
import type { ISignal } from '@lumino/signaling';

/** A server's health as the Jupyter server sees it. */
export interface IHealth {
  state: 'unknown' | 'serving' | 'unreachable' | 'refused' | 'unwatched';
  /** ISO 8601; null where the server is never asked. */
  since: string | null;
  reason: string;
}

/** What a session has done so far, and what it holds. */
export interface ISessionStats {
  operations: number;
  bytes_received: number;
  bytes_sent: number;
  storages: number;
  storage_bytes: number;
  resident_bytes: number;
}

/** A kernel of this Jupyter server. */
export interface IKernel {
  id: string;
  name: string;
  state: string;
  notebook: string | null;
}

/** One kernel's session on a server. */
export interface ISession {
  session_id: string;
  name: string;
  created: string;
  state: 'active' | 'unconfirmed' | 'orphan' | 'lost' | 'ended';
  reason: string;
  kernel: IKernel | null;
  host: string | null;
  stats: ISessionStats | null;
  /** What its tensors may take on a device; null: no limit, or not known. */
  memory_bytes: number | null;
  /** When it ends by itself, where a person should know. */
  expiry: IExpiry | null;
}

/** When a session ends by itself, as things are. */
export interface IExpiry {
  seconds: number;
  cause: string;
  /** Its server announces it. */
  soon: boolean;
}

/** A torch server with the sessions that kernels have on it. */
export interface ICompute {
  id: string;
  name: string;
  provider: string;
  address: string;
  health: IHealth;
  sessions: ISession[];
}

/** Time in milliseconds since 1970, and the value then. */
export type Point = [time: number, value: number];

/** The values of one metric over time. */
export interface ISeries {
  name: string;
  source: string;
  kind: 'gauge' | 'counter';
  unit: string;
  labels: Record<string, string>;
  help: string;
  points: Point[];
}

/** How the panel stands with the Jupyter server extension. */
export interface IConnection {
  state: 'idle' | 'connecting' | 'live' | 'offline' | 'mismatch';
  /** For a person, in their language; empty where the state says it all. */
  message: string;
}

/** The Computes, sessions and metrics of all kernels, live while somebody looks. */
export interface ISkyTorchModel extends IDisposable {
  /** Emitted after anything below has changed. */
  readonly changed: ISignal<ISkyTorchModel, void>;
  readonly connection: IConnection;
  readonly computes: ReadonlyArray<ICompute>;
  /** How many seconds of each series are kept. */
  historySeconds: number;
  /** The series of a Compute, in the order in which its server sends them. */
  series(computeId: string): ISeries[];
  /** Renews the lease of a session. Rejects with words for a person when it can't be done. */
  keepAlive(computeId: string, sessionId: string): Promise<void>;
  /** Keeps the model live until the answer is disposed of. */
  look(): IDisposable;
}

export const ISkyTorchModel = new Token<ISkyTorchModel>(
  'jupyter-skytorch:ISkyTorchModel',
  'The Computes, sessions and metrics of all kernels.'
);
