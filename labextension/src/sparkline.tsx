import React from 'react';
import type { Point } from './tokens';

const WIDTH = 100;
const HEIGHT = 20;

/** A line of values over the last `seconds`; its colours are those of the theme, whichever it is. */
export function Sparkline(props: {
  points: Point[];
  seconds: number;
  /** The value at the upper edge, if none is larger; by default the largest there is. */
  limit?: number;
  /** What a screen reader says. */
  label: string;
}): JSX.Element {
  const { points, seconds, limit, label } = props;
  const end = points.length > 0 ? points[points.length - 1][0] : 0;
  const top = Math.max(...points.map(([, value]) => value), limit ?? Number.MIN_VALUE);
  const x = (time: number): string => (WIDTH - ((end - time) / (seconds * 1000)) * WIDTH).toFixed(2);
  const y = (value: number): string => (HEIGHT - (Math.max(value, 0) / top) * HEIGHT).toFixed(2);
  return (
    <svg
      className="jp-SkyTorch-sparkline"
      viewBox={`0 -1 ${WIDTH} ${HEIGHT + 2}`}
      preserveAspectRatio="none"
      role="img"
      aria-label={label}
    >
      {runs(points).map(run => {
        const line = run.map(([time, value]) => `${x(time)},${y(value)}`).join(' ');
        const [first, last] = [x(run[0][0]), x(run[run.length - 1][0])];
        return (
          <React.Fragment key={run[0][0]}>
            <polygon points={`${first},${HEIGHT} ${line} ${last},${HEIGHT}`} />
            <polyline points={line} vectorEffect="non-scaling-stroke" />
          </React.Fragment>
        );
      })}
    </svg>
  );
}

/** The points in runs without a gap; while nobody looked or the server was away there is no line. */
function runs(points: Point[]): Point[][] {
  const steps = points.slice(1).map(([time], index) => time - points[index][0]);
  const usual = [...steps].sort((left, right) => left - right)[Math.floor(steps.length / 2)];
  const found: Point[][] = [];
  points.forEach((point, index) => {
    if (index === 0 || steps[index - 1] > 4 * usual) {
      found.push([]);
    }
    found[found.length - 1].push(point);
  });
  return found.filter(run => run.length > 1);
}
