import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { argumentBytes, RAW_ARGUMENTS_VARIABLE, textOfBytes } from "../../../src/cli/raw-arguments.ts";

const SCRIPT = join(import.meta.dirname, "../../support/print-raw-arguments.ts");

/** Runs the script from a shell, which can pass any byte; hex of each argument and of the directory. */
function printed(
  shellArguments: string,
  options: { node?: string; env?: NodeJS.ProcessEnv; cwd?: string } = {},
) {
  const command = `${options.cwd ?? ":"}; exec "$NODE" ${options.node ?? ""} "$SCRIPT" ${shellArguments}`;
  const output = execFileSync("sh", ["-c", command], {
    encoding: "utf8",
    env: { ...process.env, NODE: process.execPath, SCRIPT, ...options.env },
  });
  return JSON.parse(output);
}

const shellWord = (bytes: Uint8Array): string =>
  `"$(printf '${[...bytes].map((byte) => `\\${byte.toString(8).padStart(3, "0")}`).join("")}')"`;
const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex");

describe("textOfBytes", () => {
  it("is undone by argumentBytes for all bytes, and is the text where there is one", () => {
    const pieces = fc.oneof(
      fc.uint8Array({ maxLength: 6 }),
      fc.string({ unit: "binary", maxLength: 4 }).map((text) => new Uint8Array(Buffer.from(text))),
      fc
        .constantFrom(
          [0xed, 0xa0, 0x80],
          [0xf0, 0x9f, 0x98],
          [0xc0, 0x80],
          [0xf4, 0x90, 0x80, 0x80],
          [0xef, 0xbf, 0xbd],
        )
        .map((bytes) => Uint8Array.from(bytes)),
    );
    fc.assert(
      fc.property(fc.array(pieces, { maxLength: 6 }), (parts) => {
        const bytes = new Uint8Array(Buffer.concat(parts));
        const text = textOfBytes(bytes);
        expect(hex(argumentBytes(text))).toBe(hex(bytes));
        if (!/[\udc80-\udcff]/.test(text.replace(/[\ud800-\udbff][\udc00-\udfff]/g, ""))) {
          expect(text).toBe(Buffer.from(bytes).toString("utf8"));
        }
      }),
    );
  });

  it("escapes exactly what is not UTF-8", () => {
    expect(textOfBytes(Buffer.from("größe €😀"))).toBe("größe €😀");
    expect(textOfBytes(Uint8Array.of(0x61, 0xe9, 0x62))).toBe("a\udce9b");
    expect(textOfBytes(Uint8Array.of(0xed, 0xa0, 0x80))).toBe("\udced\udca0\udc80");
    expect(textOfBytes(Uint8Array.of(0xe2, 0x82))).toBe("\udce2\udc82");
  });
});

describe("rawArguments", () => {
  const words = [
    Uint8Array.of(0xe9),
    Buffer.from("--target=größe"),
    Uint8Array.of(0x2f, 0xff, 0xfe, 0x20, 0x22),
    new Uint8Array(0),
    Buffer.from("😀"),
    new Uint8Array(0),
  ];

  it("gives every byte of every argument, empty ones included", () => {
    expect(printed(words.map(shellWord).join(" ")).words).toEqual(words.map(hex));
    expect(printed("").words).toEqual([]);
  });

  it("finds the arguments behind Node's own options", () => {
    const node = `--stack-trace-limit=7 --import "data:text/javascript," --`;
    expect(printed(words.map(shellWord).join(" "), { node }).words).toEqual(words.map(hex));
  });

  it("takes what a launcher hands over, if it is for these arguments", () => {
    const handed = (bytes: Uint8Array): NodeJS.ProcessEnv => ({
      [RAW_ARGUMENTS_VARIABLE]: Buffer.concat([bytes, Uint8Array.of(0)]).toString("base64"),
    });
    const lossy = shellWord(Buffer.from("a\ufffd"));
    const result = printed(lossy, { env: handed(Uint8Array.of(0x61, 0xe9)) });
    expect(result).toMatchObject({ words: ["61e9"], inherited: false });
    expect(printed(lossy, { env: handed(Buffer.from("something else")) }).words).toEqual(["61efbfbd"]);
  });

  it("gives the working directory as bytes", () => {
    const scratch = mkdtempSync(join(tmpdir(), "cairn-test-"));
    const name = Buffer.concat([Buffer.from(`${scratch}/`), Uint8Array.of(0xe9, 0x0a, 0x78)]);
    mkdirSync(name);
    const cwd = `cd ${shellWord(name)}`;
    expect(printed("", { cwd }).directory).toBe(hex(name));
    expect(printed("", { cwd: `${cwd} && rmdir ${shellWord(name)}` }).directory).toBe("USAGE");
    rmSync(scratch, { recursive: true });
  });
});
