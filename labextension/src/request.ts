import { URLExt } from '@jupyterlab/coreutils';
import { ServerConnection } from '@jupyterlab/services';
import type { TranslationBundle } from '@jupyterlab/translation';
import manifest from '../package.json';
import type { IExpiry } from './tokens';

/** The version of this part, which the browser runs. */
export const VERSION = manifest.version;

/** The two parts of the extension are not of one version; the message tells what to do. */
export class VersionMismatchError extends Error {}

interface IStatus {
  version: string;
}

function url(base: string, path: string): string {
  return URLExt.join(base, 'skytorch', 'api', path);
}

/**
 * Asks the Jupyter server extension.
 *
 * @throws ServerConnection.ResponseError when it answers with an error
 * @throws ServerConnection.NetworkError when nothing answers
 */
async function request<T>(
  path: string,
  settings: ServerConnection.ISettings,
  init: RequestInit = {}
): Promise<T> {
  const response = await ServerConnection.makeRequest(url(settings.baseUrl, path), init, settings);
  if (!response.ok) {
    throw await ServerConnection.ResponseError.create(response);
  }
  return (await response.json()) as T;
}

/**
 * Makes sure that the other part of the extension is there, and of the same version.
 *
 * @throws VersionMismatchError when it is not
 */
export async function handshake(settings: ServerConnection.ISettings, trans: TranslationBundle): Promise<void> {
  let version: string;
  try {
    version = (await request<IStatus>('status', settings)).version;
  } catch (error) {
    if (error instanceof ServerConnection.ResponseError && error.response.status === 404) {
      throw new VersionMismatchError(
        trans.__(
          'The Jupyter server does not run the jupyter_skytorch extension. Install jupyter-skytorch where Jupyter runs, and restart Jupyter.'
        )
      );
    }
    throw error;
  }
  if (version !== VERSION) {
    throw new VersionMismatchError(
      trans.__(
        'This page runs version %1 of the SkyTorch sidebar, the Jupyter server version %2. Restart Jupyter, then reload this page.',
        VERSION,
        version
      )
    );
  }
}

/**
 * Renews the lease of a session.
 *
 * @throws ServerConnection.ResponseError with words for a person when its server does not
 */
export async function keepAlive(
  computeId: string,
  sessionId: string,
  settings: ServerConnection.ISettings
): Promise<void> {
  const path = `computes/${computeId}/sessions/${sessionId}/keep-alive`;
  await request<IExpiry>(path, settings, { method: 'POST' });
}

/** Opens the WebSocket of live state and metrics. */
export function openSocket(settings: ServerConnection.ISettings): WebSocket {
  const address = url(settings.wsUrl, 'metrics');
  const query = settings.appendToken && settings.token ? `?token=${encodeURIComponent(settings.token)}` : '';
  return new settings.WebSocket(address + query);
}
