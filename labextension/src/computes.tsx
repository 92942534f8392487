import type { TranslationBundle } from '@jupyterlab/translation';
import React from 'react';
import { Metrics } from './metrics';
import { Sessions } from './sessions';
import type { ICompute, ISkyTorchModel } from './tokens';
import { healthOf, placeOf } from './words';

/** All Computes, one after the other. */
export function Computes(props: {
  model: ISkyTorchModel;
  open?: (path: string) => void;
  trans: TranslationBundle;
}): JSX.Element {
  return (
    <ul className="jp-SkyTorch-computes" aria-label={props.trans.__('Computes')}>
      {props.model.computes.map(compute => (
        <li key={compute.id}>
          <Compute {...props} compute={compute} />
        </li>
      ))}
    </ul>
  );
}

function Compute(props: {
  compute: ICompute;
  model: ISkyTorchModel;
  open?: (path: string) => void;
  trans: TranslationBundle;
}): JSX.Element {
  const { compute, model, open, trans } = props;
  const heading = `jp-SkyTorch-compute-${compute.id}`;
  const { health } = compute;
  return (
    <section className="jp-SkyTorch-compute" aria-labelledby={heading} data-health={health.state}>
      <div className="jp-SkyTorch-line">
        <h3 id={heading}>{compute.name}</h3>
        <span className="jp-SkyTorch-state">{healthOf(compute, trans)}</span>
      </div>
      <p className="jp-SkyTorch-note jp-SkyTorch-address" title={compute.address}>
        {compute.provider} · {placeOf(compute, trans)}
      </p>
      {health.reason && (
        <p className="jp-SkyTorch-problem">
          {health.since
            ? trans.__('Since %1: %2.', new Date(health.since).toLocaleTimeString(), health.reason)
            : health.reason}
        </p>
      )}
      <Sessions
        sessions={compute.sessions}
        open={open}
        keep={session => model.keepAlive(compute.id, session.session_id)}
        trans={trans}
      />
      {health.state === 'serving' && (
        <Metrics series={model.series(compute.id)} seconds={model.historySeconds} trans={trans} />
      )}
    </section>
  );
}
