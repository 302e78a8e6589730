import { equalBytes } from "../base/bytes.ts";
import { Fault } from "../base/fault.ts";
import type { Incarnation, SwarmId } from "../base/ids.ts";
import { checkSigned, type Signed, signedHash } from "../crypto/signed.ts";
import { decodeSigned } from "../wire/signed.ts";
import { type TrailBody, trailBody } from "../wire/trail.ts";

/** What one entry says, and who says it. */
export interface TrailEntry {
  readonly sequence: number;
  /** The life in which it was made. */
  readonly incarnation: Incarnation;
  /** Public key of the node. */
  readonly node: Uint8Array;
  readonly body: TrailBody;
  readonly hash: Uint8Array;
  /** In its envelope. */
  readonly bytes: Uint8Array;
}

export interface TrailProblem {
  /** Of the entry that is wrong, or after which some are missing. */
  readonly sequence: number;
  readonly reason: string;
}

/** The hash before an owner's first entry. */
export const NO_ENTRY = new Uint8Array(32);

/** Throws `SIGNATURE_INVALID` or `FORMAT_INVALID`. */
export function readTrailEntry(bytes: Uint8Array, swarm: SwarmId): TrailEntry {
  const signed: Signed = decodeSigned(bytes);
  checkSigned(signed, { type: "trail", swarm });
  const { epoch: sequence, incarnation, signer: node } = signed;
  return {
    sequence,
    incarnation,
    node,
    body: trailBody.decode(signed.body),
    hash: signedHash(signed),
    bytes,
  };
}

/**
 * Whether these entries, in the order of their numbers, are a trail of which nothing was changed, taken out or put in: each
 * signed, each naming the one before. `end`: what a signed head says is in it. What lies before the first of them is not
 * judged; nor is what was cut off behind `end`.
 */
export function checkTrail(
  entries: readonly { readonly sequence: number; readonly bytes: Uint8Array }[],
  init: {
    readonly swarm: SwarmId;
    /** Whether a key is, or was, that of the owner's node. @default any */
    readonly isNode?: (key: Uint8Array) => boolean;
    readonly end?: { readonly sequence: number; readonly hash: Uint8Array };
  },
): { readonly entries: readonly TrailEntry[]; readonly problems: readonly TrailProblem[] } {
  const problems: TrailProblem[] = [];
  const read: TrailEntry[] = [];
  const note = (sequence: number, reason: string): void => void problems.push({ sequence, reason });
  let before: TrailEntry | undefined;
  for (const { sequence, bytes } of entries) {
    let entry: TrailEntry;
    try {
      entry = readTrailEntry(bytes, init.swarm);
    } catch (error) {
      if (!(error instanceof Fault)) throw error;
      note(sequence, `it was changed: ${error.message}`);
      before = undefined;
      continue;
    }
    read.push(entry);
    if (entry.sequence !== sequence) note(sequence, `it is entry ${entry.sequence}, put in another's place`);
    if (init.isNode?.(entry.node) === false) note(sequence, "it is signed by no node of this owner");
    if (sequence === 1 && !equalBytes(entry.body.previous, NO_ENTRY))
      note(1, "it names an entry before the first");
    const { end } = init;
    if (end?.sequence === sequence && !equalBytes(end.hash, entry.hash))
      note(sequence, "the head that the owner signed names another one in its place");
    if (before !== undefined && entry.sequence !== before.sequence + 1)
      note(before.sequence, `entries are missing between it and ${entry.sequence}`);
    else if (before !== undefined && !equalBytes(entry.body.previous, before.hash))
      note(sequence, `it does not follow entry ${before.sequence} as that is here`);
    before = entry;
  }
  const last = entries.at(-1)?.sequence ?? 0;
  if (init.end !== undefined && init.end.sequence > last)
    note(
      last,
      `entries up to ${init.end.sequence} are missing after it, as the head says that the owner signed`,
    );
  return { entries: read, problems };
}
