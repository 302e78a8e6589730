import { describe, expect, it } from "vitest";
import { GIB, MIB } from "../../../src/base/units.ts";
import { anomaliesOf as anomaliesFrom, type Capture } from "../../../src/policy/anomaly.ts";

const usual = (given: Partial<Capture> = {}): Capture => ({
  ...{ files: 1000, bytes: 10 * GIB, bytesNew: 100 * MIB, bytesPacked: 50 * MIB },
  ...given,
});
const FIRST = usual({ bytesNew: 10 * GIB, bytesPacked: 6 * GIB });
const BEFORE = [FIRST, usual(), usual({ bytesNew: 300 * MIB, bytesPacked: 150 * MIB }), usual()];

const anomaliesOf = (now: Capture, before: readonly Capture[]) => anomaliesFrom(now, before, 16 * MIB);

describe("a snapshot that looks like ransomware", () => {
  it("is one of which far more changed than ever before", () => {
    const now = usual({ bytesNew: 9 * GIB, bytesPacked: 5 * GIB });
    expect(anomaliesOf(now, BEFORE)).toEqual([expect.stringMatching(/^90 % of its bytes are new/)]);
  });

  it("is one whose new bytes do not compress any more", () => {
    const now = usual({ bytesNew: 500 * MIB, bytesPacked: 499 * MIB });
    expect(anomaliesOf(now, BEFORE)).toEqual([expect.stringMatching(/hardly compresses \(to 100 %\)/)]);
  });

  it("is one whose files are gone en masse", () => {
    expect(anomaliesOf(usual({ files: 400 }), BEFORE)).toEqual(["600 of 1000 files are gone"]);
    expect(anomaliesOf(usual({ files: 600 }), BEFORE)).toEqual([]);
  });

  it("is all three", () => {
    const now = usual({ files: 10, bytesNew: 10 * GIB, bytesPacked: 10 * GIB });
    expect(anomaliesOf(now, BEFORE)).toHaveLength(3);
  });
});

describe("a snapshot is not called unusual", () => {
  it("that is like those before it, or before there are three", () => {
    expect(anomaliesOf(usual(), BEFORE)).toEqual([]);
    expect(anomaliesOf(usual({ files: 0, bytesNew: 10 * GIB }), BEFORE.slice(0, 2))).toEqual([]);
  });

  it("of a set of which everything is another one each time", () => {
    const dump = usual({ bytesNew: 10 * GIB, bytesPacked: 10 * GIB });
    expect(anomaliesOf(dump, [dump, dump, dump])).toEqual([]);
  });

  it("where little is new, or few files are gone", () => {
    const small = { files: 60, bytes: 5 * MIB, bytesNew: MIB / 100, bytesPacked: MIB / 200 };
    const before = [small, small, small];
    expect(anomaliesOf({ ...small, files: 1, bytesNew: 5 * MIB, bytesPacked: 5 * MIB }, before)).toEqual([]);
  });
});
