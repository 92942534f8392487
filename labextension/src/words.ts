import type { TranslationBundle } from '@jupyterlab/translation';
import type { ICompute, IExpiry, ISession } from './tokens';

/** The cause of an end that no heartbeat puts off. */
export const MAXIMUM_AGE = 'maximum age';

/** A Compute's health in words. */
export function healthOf(compute: ICompute, trans: TranslationBundle): string {
  switch (compute.health.state) {
    case 'serving':
      return trans.__('connected');
    case 'unreachable':
      return trans.__('server gone');
    case 'refused':
      return trans.__('refused');
    case 'unknown':
      return trans.__('connecting…');
    case 'unwatched':
      return trans.__('not watched');
  }
}

/** Where a Compute's server is. The path of a socket tells nobody anything. */
export function placeOf(compute: ICompute, trans: TranslationBundle): string {
  return compute.address.startsWith('unix:') ? trans.__('on this machine') : compute.address;
}

/** Names a session for a person. */
export function originOf(session: ISession, trans: TranslationBundle): string {
  if (session.kernel) {
    return session.kernel.notebook ? basename(session.kernel.notebook) : session.kernel.name;
  }
  return session.host ? trans.__('%1 on %2', session.name, session.host) : session.name;
}

/** A session's state in words. */
export function stateOf(session: ISession, trans: TranslationBundle): string {
  switch (session.state) {
    case 'active':
      return session.kernel?.state === 'busy' ? trans.__('busy') : trans.__('active');
    case 'unconfirmed':
      return trans.__('not confirmed');
    case 'orphan':
      return trans.__('kernel gone');
    case 'lost':
      return trans.__('lost');
    case 'ended':
      return trans.__('ended');
  }
}

/** When a session ends by itself, and why: "ends in 4 min: maximum age". */
export function endingOf(expiry: IExpiry, trans: TranslationBundle): string {
  const left =
    expiry.seconds < 60
      ? trans.__('%1 s', expiry.seconds)
      : trans.__('%1 min', Math.floor(expiry.seconds / 60));
  return expiry.cause === MAXIMUM_AGE
    ? trans.__('ends in %1: maximum age', left)
    : trans.__('ends in %1: no heartbeat', left);
}

/** The name of the file at a path. */
export function basename(path: string): string {
  return path.slice(path.lastIndexOf('/') + 1);
}
