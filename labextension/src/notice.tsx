import type { TranslationBundle } from '@jupyterlab/translation';
import React from 'react';
import type { IConnection } from './tokens';

const HOW_TO_CONNECT = '%load_ext jupyter_skytorch\n%sky connect';

/** What a person has to know or to do before there is anything to see. */
export function Notice(props: {
  connection: IConnection;
  /** There is no Compute. */
  empty: boolean;
  trans: TranslationBundle;
}): JSX.Element | null {
  const { connection, empty, trans } = props;
  switch (connection.state) {
    case 'mismatch':
    case 'offline':
      return (
        <p className="jp-SkyTorch-problem" role="alert" data-connection={connection.state}>
          {connection.message}
        </p>
      );
    case 'idle':
    case 'connecting':
      return empty ? <p className="jp-SkyTorch-note">{trans.__('Connecting…')}</p> : null;
    case 'live':
      return empty ? <Empty trans={trans} /> : null;
  }
}

function Empty(props: { trans: TranslationBundle }): JSX.Element {
  const { trans } = props;
  return (
    <div className="jp-SkyTorch-empty">
      <p>{trans.__('No kernel is connected to a torch server. To connect one, run this in a notebook:')}</p>
      <pre>{HOW_TO_CONNECT}</pre>
    </div>
  );
}
