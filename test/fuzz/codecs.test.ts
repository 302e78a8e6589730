import { expect, test } from "vitest";
import { z } from "zod";
import type { SeededRng } from "../../sim/rng.ts";
import { must } from "../../src/base/assert.ts";
import { equalBytes } from "../../src/base/bytes.ts";
import { campaign, describeTally, MESSAGES_PER_PROTOCOL, messagesOf } from "./campaign.ts";
import { ADJUST, type AnyCodec, CATALOG_CODECS, PROTOCOL_CODECS, WIRE_CODECS } from "./codecs.ts";
import { mutated } from "./hostile-cbor.ts";
import { drawerOf } from "./schema-values.ts";

/** Of valid messages, so that one is not made anew for every mutation of it. */
const STOCK = 500;

function stockOf(codec: AnyCodec, rng: SeededRng): Uint8Array[] {
  const draw = drawerOf(codec.schema);
  const adjust = ADJUST.get(codec);
  return Array.from({ length: STOCK }, () => {
    const value = draw(rng);
    if (adjust !== undefined) adjust(value as Record<string, unknown>);
    return codec.encode(z.decode(codec.schema, value));
  });
}

/** Throws what `decode` throws; an accepted message must be the same after another round. */
function roundTrip(codec: AnyCodec, message: Uint8Array): void {
  const encoded = codec.encode(codec.decode(message));
  if (!equalBytes(encoded, codec.encode(codec.decode(encoded)))) throw new Error("it changes on the way");
}

test.each([...WIRE_CODECS, ...CATALOG_CODECS].map((codec) => [codec.name, codec] as const))(
  "%s: any bytes are a value or FORMAT_INVALID",
  async (name, codec) => {
    let stock: Uint8Array[] = [];
    let valid = 0;
    const count = PROTOCOL_CODECS.has(codec) ? MESSAGES_PER_PROTOCOL : messagesOf(10_000);
    const tally = await campaign(
      name,
      count,
      ["FORMAT_INVALID"],
      (rng, index) => {
        if (index % (STOCK * 20) === 0) stock = stockOf(codec, rng);
        const message = must(stock[index % STOCK], "message of the stock");
        return index % (STOCK * 20) < STOCK ? message : mutated(rng, message);
      },
      (message) => {
        const isValid = stock.includes(message);
        roundTrip(codec, message);
        if (isValid) {
          valid++;
          if (!equalBytes(codec.encode(codec.decode(message)), message))
            throw new Error("encoded differently");
        }
      },
    );
    console.log(describeTally(name, tally));
    // The generator and the mutations both do something: all valid messages are taken, most others are not.
    expect(valid).toBe(Math.ceil(count / (STOCK * 20)) * STOCK);
    expect(tally.refused.get("FORMAT_INVALID") ?? 0).toBeGreaterThan(count / 4);
    expect(tally.accepted).toBeGreaterThan(valid);
  },
);

test("every structure that travels is among them", () => {
  expect(WIRE_CODECS.map((codec) => codec.name).sort()).toEqual(
    expect.arrayContaining([
      "request",
      "answer",
      "sync request",
      "sync answer",
      "join request",
      "join answer",
    ]),
  );
  expect(WIRE_CODECS.length).toBeGreaterThanOrEqual(23);
  expect(PROTOCOL_CODECS.size).toBe(8);
});
