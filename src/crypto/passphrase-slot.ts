import { argon2Sync } from "node:crypto";
import { assert } from "../base/assert.ts";
import { concatBytes, utf8 } from "../base/bytes.ts";
import { Fault } from "../base/fault.ts";
import { BOX_RANDOM_BYTES, boxFault, sealBox, tryOpenBox } from "./box.ts";
import { infoOf } from "./kdf.ts";
import { ROOT_BYTES } from "./keys.ts";

/** What one guess at a passphrase costs. */
export interface Argon2Cost {
  readonly memoryKib: number;
  readonly passes: number;
  readonly lanes: number;
}

/** Measured: 0.4 to 1.1 seconds on a server of 2026. */
export const DEFAULT_ARGON2_COST: Argon2Cost = { memoryKib: 256 * 1024, passes: 3, lanes: 4 };

/**
 * RFC 9106's second recommendation. Refused below it when read as well: whoever could swap in a cheap slot would
 * otherwise make the next one, written with the same costs, easy to guess.
 */
const FLOOR: Argon2Cost = { memoryKib: 64 * 1024, passes: 3, lanes: 1 };
/** Chosen: 1 GiB and 16 passes take under a minute; a hostile file must not take the machine's memory. */
const CEILING: Argon2Cost = { memoryKib: 1024 * 1024, passes: 16, lanes: 16 };

const WHAT = "passphrase slot";
const SLOT_VERSION = 1;
const KDF_ARGON2ID = 1;
const ARGON2_SALT_BYTES = 16;
/** version, kdf, lanes, passes: a byte each; memory in KiB: u32; salt. */
const SLOT_HEADER_BYTES = 8 + ARGON2_SALT_BYTES;

/** Fresh random bytes that `sealPassphraseSlot` takes: the Argon2 salt and what the box needs. */
export const PASSPHRASE_SLOT_RANDOM_BYTES = ARGON2_SALT_BYTES + BOX_RANDOM_BYTES;

/**
 * The owner's root, sealed for a passphrase. Stays on machines of the owner: whoever has it can try passphrases
 * offline. `random`: 48 bytes; `context` as for `wrapRoot`. Blocks for as long as Argon2 takes.
 */
export function sealPassphraseSlot(
  passphrase: string,
  root: Uint8Array,
  random: Uint8Array,
  context: Uint8Array,
  cost: Argon2Cost = DEFAULT_ARGON2_COST,
): Uint8Array {
  assert(root.length === ROOT_BYTES, "an owner's root has 32 bytes");
  assert(random.length === PASSPHRASE_SLOT_RANDOM_BYTES, "a passphrase slot takes 48 random bytes");
  assert(costProblem(cost) === undefined, "the cost of a passphrase slot is within its bounds");
  if (passphrase === "") throw new Fault({ code: "USAGE", reason: "The passphrase must not be empty." });
  const header = new Uint8Array(SLOT_HEADER_BYTES);
  header.set([SLOT_VERSION, KDF_ARGON2ID, cost.lanes, cost.passes]);
  new DataView(header.buffer).setUint32(4, cost.memoryKib);
  header.set(random.subarray(0, ARGON2_SALT_BYTES), 8);
  const key = stretch(passphrase, header.subarray(8), cost);
  const box = sealBox(key, root, slotAad(header, context), random.subarray(ARGON2_SALT_BYTES));
  return new Uint8Array(concatBytes(header, box));
}

/**
 * Throws `WRONG_KEY` for another passphrase, `FORMAT_VERSION`, or `FORMAT_INVALID` when damaged, from another context, or
 * with costs out of bounds (found before any memory is taken).
 */
export function openPassphraseSlot(passphrase: string, slot: Uint8Array, context: Uint8Array): Uint8Array {
  const header = slot.subarray(0, SLOT_HEADER_BYTES);
  const cost = readHeader(header);
  const key = stretch(passphrase, header.subarray(8), cost);
  const opening = tryOpenBox(key, slot.subarray(SLOT_HEADER_BYTES), slotAad(header, context));
  if (opening.kind === "other-key") throw new Fault({ code: "WRONG_KEY", what: "passphrase" });
  if (opening.kind !== "opened") throw boxFault(opening, WHAT);
  if (opening.plaintext.length !== ROOT_BYTES) throw invalid("it holds no root");
  return opening.plaintext;
}

function readHeader(header: Uint8Array): Argon2Cost {
  const [version, kdf, lanes, passes] = header;
  if (version !== undefined && version > SLOT_VERSION) {
    throw new Fault({ code: "FORMAT_VERSION", what: WHAT, version, newestKnown: SLOT_VERSION });
  }
  if (lanes === undefined || passes === undefined || header.length < SLOT_HEADER_BYTES) {
    throw invalid("it is too short");
  }
  if (version !== SLOT_VERSION || kdf !== KDF_ARGON2ID) throw invalid(`version ${version}, kind ${kdf}`);
  const memoryKib = new DataView(header.buffer, header.byteOffset).getUint32(4);
  const cost = { memoryKib, passes, lanes };
  const problem = costProblem(cost);
  if (problem !== undefined) throw invalid(problem);
  return cost;
}

function costProblem(cost: Argon2Cost): string | undefined {
  for (const part of ["memoryKib", "passes", "lanes"] as const) {
    if (!Number.isInteger(cost[part])) return `${part} is not a whole number`;
    if (cost[part] < FLOOR[part]) return `${part} ${cost[part]} is below ${FLOOR[part]}`;
    if (cost[part] > CEILING[part]) return `${part} ${cost[part]} is above ${CEILING[part]}`;
  }
  return undefined;
}

function stretch(passphrase: string, salt: Uint8Array, cost: Argon2Cost): Uint8Array {
  // NFC, so that an accent typed on another keyboard is the same passphrase (as in RFC 8265).
  return argon2Sync("argon2id", {
    message: utf8(passphrase.normalize("NFC")),
    nonce: salt,
    memory: cost.memoryKib,
    passes: cost.passes,
    parallelism: cost.lanes,
    tagLength: 32,
  });
}

function slotAad(header: Uint8Array, context: Uint8Array): Uint8Array {
  return infoOf("passphrase-slot", header, context);
}

function invalid(reason: string): Fault {
  return new Fault({ code: "FORMAT_INVALID", what: WHAT, reason });
}
