import type { TranslationBundle } from '@jupyterlab/translation';
import { keyOf, rates } from './series';
import type { ISeries, Point } from './tokens';

/** One row: a gauge as it is, a counter as its growth per second. */
export interface IReading {
  key: string;
  name: string;
  label: string;
  help: string;
  unit: string;
  points: Point[];
  /** The most that the value can be, where that is known. */
  limit?: number;
}

/** Rows that belong together: one GPU, the machine, torch. */
export interface IGroup {
  key: string;
  title: string;
  readings: IReading[];
}

/** How a metric is shown. One that is not in the table is shown under its own name. */
interface IPresentation {
  label: string;
  /** The name of the metric that says how large the value usually can be; it gets no row of its own. */
  limit?: string;
  /** A counter of seconds, whose growth is the share of the time. */
  share?: boolean;
}

function presentations(trans: TranslationBundle): Record<string, IPresentation> {
  return {
    'gpu.utilization': { label: trans.__('Utilization') },
    'gpu.memory.utilization': { label: trans.__('Memory traffic') },
    'gpu.memory.used': { label: trans.__('Memory'), limit: 'gpu.memory.total' },
    'gpu.temperature': { label: trans.__('Temperature') },
    'gpu.power': { label: trans.__('Power'), limit: 'gpu.power.limit' },
    'gpu.clock.sm': { label: trans.__('Clock') },
    'gpu.clock.memory': { label: trans.__('Memory clock') },
    'gpu.processes': { label: trans.__('Processes') },
    'host.cpu.utilization': { label: trans.__('CPU') },
    'host.cpu.load': { label: trans.__('Load'), limit: 'host.cpu.count' },
    'host.memory.used': { label: trans.__('Memory'), limit: 'host.memory.total' },
    'host.network.received': { label: trans.__('Network in') },
    'host.network.sent': { label: trans.__('Network out') },
    'torch.sessions': { label: trans.__('Sessions') },
    'torch.operations': { label: trans.__('Operations') },
    'torch.bytes.received': { label: trans.__('Received') },
    'torch.bytes.sent': { label: trans.__('Sent') },
    'torch.busy': { label: trans.__('Busy'), share: true },
    'torch.queued.bytes': { label: trans.__('Queued') },
    'torch.storages': { label: trans.__('Storages') },
    'torch.storage.bytes': { label: trans.__('Tensor memory') },
    'torch.resident.bytes': { label: trans.__('Process memory') }
  };
}

/** The series of one server as rows in groups: its GPUs, torch, the machine, anything else. */
export function readings(all: ISeries[], trans: TranslationBundle): IGroup[] {
  const table = presentations(trans);
  const limits = new Set(Object.values(table).map(presentation => presentation.limit));
  const groups = new Map<string, IGroup>();
  for (const series of all) {
    // What belongs to one session or process only is not of the server.
    if (limits.has(series.name) || 'session' in series.labels || 'pid' in series.labels) {
      continue;
    }
    const key = `${series.source} ${labelsOf(series)}`;
    const group = groups.get(key) ?? { key, title: title(series, trans), readings: [] };
    groups.set(key, group);
    group.readings.push(reading(series, table[series.name] ?? { label: plain(series.name) }, all));
  }
  const order = ['nvidia-gpu', 'torch', 'host'];
  const rank = (group: IGroup): number => {
    const place = order.indexOf(group.key.split(' ')[0]);
    return place < 0 ? order.length : place;
  };
  return [...groups.values()].sort((left, right) => rank(left) - rank(right));
}

function reading(series: ISeries, presentation: IPresentation, all: ISeries[]): IReading {
  const { key, name, help } = { key: keyOf(series), name: series.name, help: series.help };
  const { label } = presentation;
  if (series.kind === 'gauge') {
    const limit = limitOf(series, presentation, all);
    return { key, name, label, help, unit: series.unit, points: series.points, limit };
  }
  const points = rates(series.points);
  if (presentation.share) {
    return { key, name, label, help, unit: '%', points: points.map(([time, value]) => [time, 100 * value]) };
  }
  return { key, name, label, help, unit: `${series.unit}/s`, points };
}

function limitOf(series: ISeries, presentation: IPresentation, all: ISeries[]): number | undefined {
  if (series.unit === '%') {
    return 100;
  }
  const limit = all.find(other => other.name === presentation.limit && labelsOf(other) === labelsOf(series));
  const value = limit?.points[limit.points.length - 1]?.[1];
  return value !== undefined && value > 0 ? value : undefined;
}

/** The name of a metric that nothing better is known for: gpu.fan.speed is "Fan speed". */
function plain(name: string): string {
  const words = name.split('.').slice(1).join(' ');
  return words.charAt(0).toUpperCase() + words.slice(1);
}

function labelsOf(series: ISeries): string {
  return JSON.stringify(Object.entries(series.labels).sort());
}

function title(series: ISeries, trans: TranslationBundle): string {
  switch (series.source) {
    case 'nvidia-gpu':
      return trans.__('GPU %1 · %2', series.labels['gpu'] ?? '?', series.labels['name'] ?? '?');
    case 'host':
      return trans.__('Machine');
    case 'torch':
      return trans.__('Torch');
    default:
      return series.source;
  }
}
