import { describe, expect, it } from "vitest";
import { AssertionFailure } from "../../../src/base/assert.ts";
import { utf8 } from "../../../src/base/bytes.ts";
import { Fault } from "../../../src/base/fault.ts";
import {
  openPassphraseSlot,
  PASSPHRASE_SLOT_RANDOM_BYTES,
  sealPassphraseSlot,
} from "../../../src/crypto/passphrase-slot.ts";

const ROOT = new Uint8Array(32).fill(4);
const CONTEXT = utf8("home");
const RANDOM = new Uint8Array(PASSPHRASE_SLOT_RANDOM_BYTES).fill(6);
const CHEAPEST = { memoryKib: 64 * 1024, passes: 3, lanes: 4 };

function codeOf(action: () => unknown): string {
  try {
    action();
  } catch (error) {
    if (error instanceof Fault) return error.code;
    throw error;
  }
  return "no fault";
}

describe("a passphrase slot", () => {
  const slot = sealPassphraseSlot("caf\u00e9 au lait", ROOT, RANDOM, CONTEXT, CHEAPEST);
  const withByte = (at: number, value: number): Uint8Array => {
    const changed = slot.slice();
    changed[at] = value;
    return changed;
  };

  it("opens with the passphrase, however its accents were typed", () => {
    expect(Buffer.from(openPassphraseSlot("cafe\u0301 au lait", slot, CONTEXT))).toEqual(Buffer.from(ROOT));
  });

  it("says that the passphrase is the wrong one", () => {
    expect(codeOf(() => openPassphraseSlot("cafe au lait", slot, CONTEXT))).toBe("WRONG_KEY");
  });

  it("belongs to its context", () => {
    expect(codeOf(() => openPassphraseSlot("caf\u00e9 au lait", slot, utf8("other")))).toBe("FORMAT_INVALID");
  });

  it.each([
    ["another kind of stretching", 1, 2],
    ["no lanes", 2, 0],
    ["too many lanes", 2, 17],
    ["too few passes", 3, 2],
    ["too many passes", 3, 17],
    ["4 TiB of memory", 4, 0xff],
    ["32 MiB of memory", 5, 0],
  ])("is refused before any work with %s", (_, at, value) => {
    expect(codeOf(() => openPassphraseSlot("x", withByte(at, value), CONTEXT))).toBe("FORMAT_INVALID");
  });

  it("asks for an update when it is of a later version", () => {
    expect(codeOf(() => openPassphraseSlot("x", withByte(0, 2), CONTEXT))).toBe("FORMAT_VERSION");
  });

  it("is refused when it is cut off", () => {
    for (const length of [0, 1, 8, 23]) {
      expect(codeOf(() => openPassphraseSlot("x", slot.subarray(0, length), CONTEXT))).toBe("FORMAT_INVALID");
    }
    expect(codeOf(() => openPassphraseSlot("x", slot.subarray(0, 40), CONTEXT))).toBe("FORMAT_INVALID");
  });

  it("is not made for an empty passphrase or at a cost out of bounds", () => {
    expect(codeOf(() => sealPassphraseSlot("", ROOT, RANDOM, CONTEXT, CHEAPEST))).toBe("USAGE");
    expect(() => sealPassphraseSlot("x", ROOT, RANDOM, CONTEXT, { ...CHEAPEST, memoryKib: 1024 })).toThrow(
      AssertionFailure,
    );
  });
});
