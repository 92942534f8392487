import type { TranslationBundle } from '@jupyterlab/translation';
import React from 'react';
import { type IReading, readings } from './readings';
import { Sparkline } from './sparkline';
import type { ISeries } from './tokens';
import { format } from './units';

/** What a server measures: a row of name, chart and value for each metric, in groups. */
export function Metrics(props: { series: ISeries[]; seconds: number; trans: TranslationBundle }): JSX.Element {
  const { series, seconds, trans } = props;
  return (
    <>
      {readings(series, trans).map(group => (
        <section key={group.key} aria-label={group.title}>
          <h4 className="jp-SkyTorch-group">{group.title}</h4>
          <ul className="jp-SkyTorch-metrics">
            {group.readings.map(reading => (
              <Row key={reading.key} reading={reading} seconds={seconds} trans={trans} />
            ))}
          </ul>
        </section>
      ))}
    </>
  );
}

function Row(props: { reading: IReading; seconds: number; trans: TranslationBundle }): JSX.Element {
  const { reading, seconds, trans } = props;
  const values = reading.points.map(([, value]) => value);
  const now = values.length > 0 ? format(values[values.length - 1], reading.unit) : '–';
  const label =
    values.length > 0
      ? trans.__(
          '%1: now %2, between %3 and %4 in the time shown',
          reading.label,
          now,
          format(Math.min(...values), reading.unit),
          format(Math.max(...values), reading.unit)
        )
      : reading.label;
  const text = reading.limit === undefined || reading.unit === '%' ? now : withLimit(reading, now, trans);
  return (
    <li className="jp-SkyTorch-metric" data-metric={reading.name} title={reading.help}>
      <span className="jp-SkyTorch-label">{reading.label}</span>
      <span className="jp-SkyTorch-value">{text}</span>
      <Sparkline points={reading.points} seconds={seconds} limit={reading.limit} label={label} />
    </li>
  );
}

function withLimit(reading: IReading, now: string, trans: TranslationBundle): string {
  return trans.__('%1 of %2', now, format(reading.limit ?? 0, reading.unit));
}
