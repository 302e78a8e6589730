export const KIB = 1024;
export const MIB = 1024 * KIB;
export const GIB = 1024 * MIB;
export const TIB = 1024 * GIB;

export const SECOND_MS = 1000;
export const MINUTE_MS = 60 * SECOND_MS;
export const HOUR_MS = 60 * MINUTE_MS;
export const DAY_MS = 24 * HOUR_MS;

const SIZE_UNITS: Readonly<Record<string, number>> = {
  "": 1,
  b: 1,
  k: KIB,
  kib: KIB,
  kb: 1000,
  m: MIB,
  mib: MIB,
  mb: 1000 ** 2,
  g: GIB,
  gib: GIB,
  gb: 1000 ** 3,
  t: TIB,
  tib: TIB,
  tb: 1000 ** 4,
};

const DURATION_UNITS: Readonly<Record<string, number>> = {
  ms: 1,
  s: SECOND_MS,
  m: MINUTE_MS,
  min: MINUTE_MS,
  h: HOUR_MS,
  d: DAY_MS,
  w: 7 * DAY_MS,
};

function parseQuantity(text: string, units: Readonly<Record<string, number>>): number | undefined {
  const match = /^(\d+(?:\.\d+)?)\s*([a-zA-Z]*)$/.exec(text.trim());
  const factor = units[(match?.[2] ?? "").toLowerCase()];
  if (match === null || factor === undefined) return undefined;
  const value = Math.round(Number(match[1]) * factor);
  return Number.isSafeInteger(value) ? value : undefined;
}

/** "64MiB", "10GB", "512k" (binary, as in restic), "1000": bytes. `undefined` if it is none of these. */
export function parseSize(text: string): number | undefined {
  return parseQuantity(text, SIZE_UNITS);
}

/** "36h", "30d", "90s", "500ms": milliseconds. `undefined` if it is none of these; a unit is required. */
export function parseDuration(text: string): number | undefined {
  return parseQuantity(text, DURATION_UNITS);
}

const BIT_RATE_UNITS: Readonly<Record<string, number>> = { bit: 1, kbit: 1e3, mbit: 1e6, gbit: 1e9 };

/** "10Mbit/s", "512kbit": bits per second, decimal as uplinks are sold. `undefined` if it is none of these. */
export function parseBitRate(text: string): number | undefined {
  const match = /^(\d+(?:\.\d+)?)\s*([a-z]+?)(?:\/s|ps)?$/i.exec(text.trim());
  const unit = BIT_RATE_UNITS[(match?.[2] ?? "").toLowerCase()];
  const bits = unit === undefined ? 0 : Math.round(Number(match?.[1]) * unit);
  return bits >= 1 && Number.isSafeInteger(bits) ? bits : undefined;
}

export function formatBitRate(bitsPerSecond: number): string {
  const [unit, factor] =
    bitsPerSecond < 1e6 ? ["kbit/s", 1e3] : bitsPerSecond < 1e9 ? ["Mbit/s", 1e6] : ["Gbit/s", 1e9];
  return `${Number((bitsPerSecond / factor).toPrecision(3))} ${unit}`;
}

export function formatBytes(bytes: number): string {
  const units = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];
  let value = bytes;
  let unit = 0;
  // 1023.95 would be printed as 1024.0 of the smaller unit.
  while (value >= (unit === 0 ? 1024 : 1023.95) && unit < units.length - 1) {
    value /= 1024;
    unit++;
  }
  return unit === 0 ? `${value} B` : `${value.toFixed(value < 9.995 ? 2 : 1)} ${units[unit]}`;
}

/** Rounded first and split then, so that no part ever reads "60 s". */
export function formatDuration(ms: number): string {
  if (Math.round(ms) < SECOND_MS) return `${Math.round(ms)} ms`;
  const tenths = Math.round(ms / 100);
  if (tenths < 600) return `${(tenths / 10).toFixed(1)} s`;
  const seconds = Math.round(ms / SECOND_MS);
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ${seconds % 60} s`;
  const minutes = Math.round(ms / MINUTE_MS);
  if (minutes < 2 * 24 * 60) return `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
  return `${Math.round(ms / DAY_MS)} d`;
}
