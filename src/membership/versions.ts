import type { PeerId } from "../base/ids.ts";
import { DAY_MS } from "../base/units.ts";

/** Which versions of the formats a program reads, and the highest that it writes. */
export interface FormatVersions {
  readonly reads: readonly number[];
  readonly writes: number;
}

/** Of this program. */
export const FORMAT_VERSIONS: FormatVersions = { reads: [1], writes: 1 };
/** Of a node that has not said anything yet: what every program reads. */
const OLDEST: FormatVersions = { reads: [1], writes: 1 };
/** Who was not heard for so long does not hold the others back: it has to be upgraded before it is of use again. */
export const UNHEARD_AFTER_MS = 30 * DAY_MS;

export interface Reader {
  readonly peer: PeerId;
  /** `undefined` before it has said. */
  readonly formats: FormatVersions | undefined;
  /** When it said so last; the date of its certificate where it never has. */
  readonly heardMs: number;
}

export interface Writable {
  readonly version: number;
  /** Those that do not read the highest version that we could write. */
  readonly heldBackBy: readonly PeerId[];
}

/** The highest version that we write and all of them read; version 1 where there is no such version. */
export function writableVersion(own: FormatVersions, readers: Iterable<Reader>, nowMs: number): Writable {
  const counted = [...readers].filter(({ heardMs }) => nowMs - heardMs <= UNHEARD_AFTER_MS);
  const reads = ({ formats }: Reader, version: number): boolean =>
    (formats ?? OLDEST).reads.includes(version);
  const versions = own.reads.filter((version) => version <= own.writes).sort((a, b) => b - a);
  const version = versions.find((one) => counted.every((reader) => reads(reader, one))) ?? 1;
  const heldBackBy = counted.filter((reader) => !reads(reader, own.writes)).map(({ peer }) => peer);
  return { version, heldBackBy };
}
