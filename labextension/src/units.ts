const BYTES = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB'];
const LARGE = ['', 'k', 'M', 'G', 'T'];

/** A value in its unit, as short as a person reads it: "45 %", "1.2 GiB/s", "12.3k/s". */
export function format(value: number, unit: string): string {
  const [base, per] = unit.endsWith('/s') ? [unit.slice(0, -2), '/s'] : [unit, ''];
  if (base === 'B') {
    const [scaled, step] = scale(value, 1024, BYTES.length);
    return `${digits(scaled)} ${BYTES[step]}${per}`;
  }
  if (base === 'Hz' || base === '1' || base === '') {
    const [scaled, step] = scale(value, 1000, LARGE.length);
    return base === 'Hz' ? `${digits(scaled)} ${LARGE[step]}Hz${per}` : `${digits(scaled)}${LARGE[step]}${per}`;
  }
  return `${digits(value)} ${base}${per}`;
}

function scale(value: number, by: number, steps: number): [scaled: number, step: number] {
  let step = 0;
  while (Math.abs(value) >= by && step < steps - 1) {
    value /= by;
    step += 1;
  }
  return [value, step];
}

/** Three significant digits at most. */
function digits(value: number): string {
  return Number(value.toPrecision(3)).toString();
}
