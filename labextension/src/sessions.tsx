import type { TranslationBundle } from '@jupyterlab/translation';
import React from 'react';
import { Ending } from './ending';
import type { ISession } from './tokens';
import { format } from './units';
import { basename, originOf, stateOf } from './words';

/** The sessions of one Compute. */
export function Sessions(props: {
  sessions: ISession[];
  /** Opens a notebook; without it notebooks are named only. */
  open?: (path: string) => void;
  /** Renews a session's lease. */
  keep: (session: ISession) => Promise<void>;
  trans: TranslationBundle;
}): JSX.Element {
  const { sessions, open, keep, trans } = props;
  if (sessions.length === 0) {
    return <p className="jp-SkyTorch-note">{trans.__('No kernel has a session here.')}</p>;
  }
  return (
    <ul className="jp-SkyTorch-sessions" aria-label={trans.__('Sessions')}>
      {sessions.map(session => (
        <li key={session.session_id} className="jp-SkyTorch-session" data-state={session.state}>
          <div className="jp-SkyTorch-line">
            <Origin session={session} open={open} trans={trans} />
            <span className="jp-SkyTorch-state">{stateOf(session, trans)}</span>
          </div>
          {session.reason && <p className="jp-SkyTorch-note">{session.reason}</p>}
          {session.expiry && (
            <Ending session={session} expiry={session.expiry} keep={keep} trans={trans} />
          )}
          {session.stats && (
            <p className="jp-SkyTorch-note">
              {trans.__(
                '%1 ops · %2 up · %3 down · %4 in tensors',
                format(session.stats.operations, '1'),
                format(session.stats.bytes_received, 'B'),
                format(session.stats.bytes_sent, 'B'),
                format(session.stats.storage_bytes, 'B')
              )}
              {session.memory_bytes !== null &&
                ' ' + trans.__('(limit %1)', format(session.memory_bytes, 'B'))}
            </p>
          )}
        </li>
      ))}
    </ul>
  );
}

/** Where a session comes from: a notebook, a kernel without one, or another machine. */
function Origin(props: {
  session: ISession;
  open?: (path: string) => void;
  trans: TranslationBundle;
}): JSX.Element {
  const { session, open, trans } = props;
  const notebook = session.kernel?.notebook;
  if (notebook && open) {
    return (
      <button
        type="button"
        className="jp-SkyTorch-link"
        title={trans.__('Open %1', notebook)}
        onClick={() => open(notebook)}
      >
        {basename(notebook)}
      </button>
    );
  }
  return <span className="jp-SkyTorch-origin">{originOf(session, trans)}</span>;
}
