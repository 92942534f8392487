import type { ISeries, Point } from './tokens';

/** The last seconds of every series of every Compute. */
export class SeriesStore {
  /** How many seconds are kept. */
  seconds = 120;

  of(computeId: string): ISeries[] {
    return [...(this._computes.get(computeId)?.values() ?? [])];
  }

  /** Forgets all Computes but these. */
  keep(computeIds: string[]): void {
    for (const id of [...this._computes.keys()]) {
      if (!computeIds.includes(id)) {
        this._computes.delete(id);
      }
    }
  }

  /** Adds the points that are newer than those already here: after a reconnection the server sends some again. */
  add(computeId: string, incoming: ISeries[]): void {
    const all = this._computes.get(computeId) ?? new Map<string, ISeries>();
    this._computes.set(computeId, all);
    for (const series of incoming) {
      const key = keyOf(series);
      const known = all.get(key)?.points ?? [];
      const last = known.length > 0 ? known[known.length - 1][0] : -Infinity;
      all.set(key, { ...series, points: this._trim([...known, ...series.points.filter(([time]) => time > last)]) });
    }
    this._dropEnded(all);
  }

  private _trim(points: Point[]): Point[] {
    const oldest = (points.length > 0 ? points[points.length - 1][0] : 0) - this.seconds * 1000;
    return points.filter(([time]) => time >= oldest);
  }

  /** A series that its server no longer sends (a process that ended) goes when its last point is too old. */
  private _dropEnded(all: Map<string, ISeries>): void {
    const ends = [...all.values()].map(series => series.points[series.points.length - 1]?.[0] ?? 0);
    const oldest = Math.max(0, ...ends) - this.seconds * 1000;
    [...all].forEach(([key], index) => {
      if (ends[index] < oldest) {
        all.delete(key);
      }
    });
  }

  private readonly _computes = new Map<string, Map<string, ISeries>>();
}

/** What tells a series from every other of its Compute. */
export function keyOf(series: ISeries): string {
  return JSON.stringify([series.name, Object.entries(series.labels).sort()]);
}

/** The growth per second between each two points of a counter; a counter that restarted grows from zero. */
export function rates(points: Point[]): Point[] {
  return points.slice(1).map(([time, value], index) => {
    const [before, was] = points[index];
    return [time, ((value >= was ? value - was : value) * 1000) / Math.max(time - before, 1)];
  });
}
