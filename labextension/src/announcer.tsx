import type { TranslationBundle } from '@jupyterlab/translation';
import React, { useEffect, useRef, useState } from 'react';
import { announcements } from './announcements';
import type { ICompute } from './tokens';

/** Says changes of state to a screen reader, politely; shows nothing. */
export function Announcer(props: { computes: ReadonlyArray<ICompute>; trans: TranslationBundle }): JSX.Element {
  const { computes, trans } = props;
  const before = useRef(computes);
  const [text, setText] = useState('');
  useEffect(() => {
    const said = announcements(before.current, computes, trans);
    before.current = computes;
    if (said.length > 0) {
      setText(said.join('. '));
    }
  }, [computes, trans]);
  return (
    <p className="jp-SkyTorch-announcer" role="status" aria-live="polite">
      {text}
    </p>
  );
}
