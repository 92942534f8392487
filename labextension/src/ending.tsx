import type { TranslationBundle } from '@jupyterlab/translation';
import React, { useState } from 'react';
import type { IExpiry, ISession } from './tokens';
import { endingOf, MAXIMUM_AGE, originOf } from './words';

/** When a session ends by itself, and a button that puts it off where a heartbeat does. */
export function Ending(props: {
  session: ISession;
  expiry: IExpiry;
  keep: (session: ISession) => Promise<void>;
  trans: TranslationBundle;
}): JSX.Element {
  const { session, expiry, keep, trans } = props;
  const [said, setSaid] = useState('');
  const [asking, setAsking] = useState(false);
  const ask = async (): Promise<void> => {
    setAsking(true);
    try {
      await keep(session);
      setSaid(trans.__('Kept.'));
    } catch (error) {
      setSaid(error instanceof Error ? error.message : String(error));
    } finally {
      setAsking(false);
    }
  };
  return (
    <div className="jp-SkyTorch-line" data-soon={expiry.soon}>
      <span className="jp-SkyTorch-ending">{endingOf(expiry, trans)}</span>
      <span role="status" className="jp-SkyTorch-note">
        {said}
      </span>
      {expiry.cause !== MAXIMUM_AGE && (
        <button
          type="button"
          className="jp-SkyTorch-link"
          aria-label={trans.__('Keep the session of %1', originOf(session, trans))}
          aria-disabled={asking}
          onClick={() => void (asking || ask())}
        >
          {trans.__('Keep')}
        </button>
      )}
    </div>
  );
}
