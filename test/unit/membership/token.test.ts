import { describe, expect, it } from "vitest";
import { must } from "../../../src/base/assert.ts";
import { concatBytes, fromBase64Url, toBase64Url } from "../../../src/base/bytes.ts";
import { Fault } from "../../../src/base/fault.ts";
import { peerIdOf, swarmIdOf } from "../../../src/base/ids.ts";
import { sha256 } from "../../../src/crypto/hash.ts";
import { checkSiteName } from "../../../src/membership/site.ts";
import { encodeToken, guestSigner, parseToken, tokenId } from "../../../src/membership/token.ts";

const token = {
  swarm: swarmIdOf(new Uint8Array(32).fill(1)),
  seed: new Uint8Array(32).fill(2),
  site: "north-store",
  expiresMs: 1_800_000_000_000,
  uses: 3,
  addresses: [{ peer: peerIdOf(new Uint8Array(32).fill(3)), address: "/ip4/10.0.0.1/tcp/4001" }],
};
const text = encodeToken(token);

function reason(action: () => unknown): string {
  try {
    action();
  } catch (error) {
    if (error instanceof Fault && error.code === "TOKEN_INVALID") return error.message;
    throw error;
  }
  return "accepted";
}

const bytesOfText = () => must(fromBase64Url(text.slice(7)), "bytes");
const textOf = (bytes: Uint8Array) => `cairn1-${toBase64Url(bytes)}`;

describe("a token", () => {
  it("is one line that comes back as it was, through line wraps too", () => {
    expect(text).toMatch(/^cairn1-[A-Za-z0-9_-]+$/);
    expect(parseToken(text)).toEqual(token);
    expect(parseToken(`  ${text.slice(0, 50)}\n${text.slice(50, 120)}\r\n ${text.slice(120)}\n`)).toEqual(
      token,
    );
  });

  it("says what is wrong with a bad one", () => {
    expect(reason(() => parseToken(""))).toContain("begin");
    expect(reason(() => parseToken("hello"))).toContain("begin");
    for (let length = 7; length < text.length; length++) {
      expect(reason(() => parseToken(text.slice(0, length)))).toMatch(/cut off/);
    }
    expect(reason(() => parseToken(`${text}AAAA`))).toContain("behind its end");
    expect(reason(() => parseToken(`${text}!`))).toContain("characters");
    expect(reason(() => parseToken("cairn1-".padEnd(3000, "A")))).toContain("too long");
    const changed = bytesOfText();
    changed[40] = (changed[40] ?? 0) ^ 1;
    expect(reason(() => parseToken(textOf(changed)))).toContain("checksum");
    const newer = bytesOfText();
    newer[0] = 2;
    expect(reason(() => parseToken(textOf(newer)))).toContain("newer version");
  });

  it("is checked behind its checksum too", () => {
    const bytes = bytesOfText().slice(0, -4);
    bytes[4] = (bytes[4] ?? 0) ^ 0xff;
    expect(reason(() => parseToken(textOf(concatBytes(bytes, sha256(bytes).subarray(0, 4)))))).not.toBe(
      "accepted",
    );
  });

  it("has another guest for every use, and a name that does not tell its seed", () => {
    const keys = [0, 1, 2].map((use) => Buffer.from(guestSigner(token, use).publicKey).toString("hex"));
    expect(new Set(keys).size).toBe(3);
    expect(tokenId(token)).toHaveLength(16);
  });
});

describe("site names", () => {
  const known = ["north-store", "hq"];
  it("are slugs, known or clearly new", () => {
    for (const name of ["hq", "north-store", "south", "store-2", "7"])
      expect(checkSiteName(name, known)).toBe(name);
  });
  it("that differ only in case, spaces, accents or punctuation are refused with the right spelling", () => {
    for (const name of ["HQ", "h-q", "h q", "northstore", "North Store", "north--store", "nórth.store"]) {
      expect(() => checkSiteName(name, known)).toThrow(/is spelled "(hq|north-store)"/);
    }
  });
  it("that are no slugs are refused with a proposal", () => {
    expect(() => checkSiteName("München Ost", known)).toThrow(/"munchen-ost"/);
    for (const name of ["", "-a", "a-", "a--b", "a_b", "x".repeat(41), "日本"]) {
      expect(() => checkSiteName(name, known)).toThrow(/slug/);
    }
  });
});
