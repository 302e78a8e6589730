import { encode } from "cborg";
import { expect, test } from "vitest";
import { must } from "../../src/base/assert.ts";
import { isFault } from "../../src/base/fault.ts";
import { shapeFault } from "../../src/wire/cbor-shape.ts";
import { MESSAGE_SHAPE } from "../../src/wire/codec.ts";
import { dataRequest } from "../../src/wire/data.ts";
import { GREEDY } from "./greedy.ts";

/** What messages made up by the others in this folder have found, each by its name. */

function reasonOf(bytes: Uint8Array): string {
  try {
    dataRequest.decode(bytes);
  } catch (error) {
    if (isFault(error, "FORMAT_INVALID")) return error.detail.reason;
    throw error;
  }
  return "taken";
}

test("eight MiB of empty lists are refused by their number, not decoded into half a gigabyte", () => {
  const message = must(GREEDY["empty lists in a list"], "message")(8 * 1024 * 1024);
  expect(reasonOf(message)).toBe("it has more than 65536 items");
});

test("a key of a megabyte is not quoted in the reason, which is logged", () => {
  const key = "k".repeat(1024 * 1024);
  expect(reasonOf(encode({ t: "records", v: 1, owner: new Uint8Array(32), [key]: 1 })).length).toBe(200);
  const twice = Uint8Array.of(0xa2, 0x79, 0x01, 0x00, ...new Uint8Array(256).fill(0x61), 0x00);
  const repeated = Uint8Array.from([...twice, ...twice.subarray(1)]);
  expect(reasonOf(repeated)).toMatch(/^CBOR decode error: found repeat map key "a{150}/);
  expect(reasonOf(repeated).length).toBe(200);
});

test("a list as long as its bytes at most, sixteen deep at most, and nothing behind it", () => {
  const reason = (...bytes: number[]) => shapeFault(Uint8Array.from(bytes), MESSAGE_SHAPE);
  expect(reason(0x83, 0x01, 0x61, 0x61, 0xa1, 0x01, 0x42, 0x00, 0x00)).toBeUndefined();
  expect(reason(...new Array<number>(16).fill(0x81), 0x00)).toBeUndefined();
  expect(reason(...new Array<number>(17).fill(0x81), 0x00)).toBe("it is nested more than 16 deep");
  expect(reason(0x9a, 0xff, 0xff, 0xff, 0xff, 0x00)).toBe("it is cut off");
  expect(reason(0xbb, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff)).toBe("it is cut off");
  expect(reason(0x5b, 0x80, 0, 0, 0, 0, 0, 0, 0, 0)).toBe("it is cut off");
  expect(reason(0x19, 0x01)).toBe("it is cut off");
  expect(reason()).toBe("it is cut off");
  expect(reason(0x00, 0x00)).toBe("there is something behind its end");
  expect(reason(0xc2, 0x41, 0x00)).toBe("it has a tag");
  expect(reason(0x9f, 0x00, 0xff)).toBe("it has a length that is none");
});
