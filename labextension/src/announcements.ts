import type { TranslationBundle } from '@jupyterlab/translation';
import type { ICompute } from './tokens';
import { endingOf, healthOf, originOf, stateOf } from './words';

/** What a screen reader should say of the difference between two states: health and sessions, never numbers. */
export function announcements(
  before: ReadonlyArray<ICompute>,
  after: ReadonlyArray<ICompute>,
  trans: TranslationBundle
): string[] {
  const said: string[] = [];
  for (const compute of after) {
    const was = before.find(other => other.id === compute.id);
    if (was?.health.state !== compute.health.state && compute.health.state !== 'unknown') {
      said.push(trans.__('%1: %2', compute.name, healthOf(compute, trans)));
    }
    for (const session of compute.sessions) {
      const earlier = was?.sessions.find(other => other.session_id === session.session_id);
      if (earlier?.state !== session.state && session.state !== 'unconfirmed') {
        said.push(
          trans.__('Session of %1 on %2: %3', originOf(session, trans), compute.name, stateOf(session, trans))
        );
      }
      if (session.expiry?.soon && !earlier?.expiry?.soon) {
        said.push(
          trans.__(
            'Session of %1 on %2: %3',
            originOf(session, trans),
            compute.name,
            endingOf(session.expiry, trans)
          )
        );
      }
    }
  }
  for (const compute of before.filter(other => !after.some(still => still.id === other.id))) {
    said.push(trans.__('%1: disconnected', compute.name));
  }
  return said;
}
