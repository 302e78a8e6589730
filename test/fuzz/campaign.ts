import { SeededRng } from "../../sim/rng.ts";
import { toHex } from "../../src/base/bytes.ts";
import { type FaultCode, isFault } from "../../src/base/fault.ts";

/** The same messages in every run; `CAIRN_FUZZ_SEED=anything` makes others, `CAIRN_FUZZ_TIMES=10` more of them. */
export const SEED = process.env["CAIRN_FUZZ_SEED"] ?? "cairn";
const TIMES = Number(process.env["CAIRN_FUZZ_TIMES"] ?? 1);
/** What each protocol, requests and answers, gets in CI. */
export const MESSAGES_PER_PROTOCOL = 100_000 * TIMES;

/** No message takes longer, on a machine that does ten other things: a decoder that is quadratic takes minutes. */
const MESSAGE_MS_MAX = 5000;

export function messagesOf(count: number): number {
  return count * TIMES;
}

export interface Tally {
  accepted: number;
  refused: Map<string, number>;
  slowestMs: number;
}

/**
 * Gives `count` messages to `take`, which must return or throw a `Fault` of one of `codes`. Everything else fails the
 * test with the seed, the number and the bytes of the message, from which a regression test can be made.
 */
export async function campaign(
  name: string,
  count: number,
  codes: readonly FaultCode[],
  make: (rng: SeededRng, index: number) => Uint8Array,
  take: (message: Uint8Array, rng: SeededRng, index: number) => unknown,
): Promise<Tally> {
  const rng = new SeededRng(`${SEED}/${name}`);
  const tally: Tally = { accepted: 0, refused: new Map(), slowestMs: 0 };
  for (let index = 0; index < count; index++) {
    const message = make(rng, index);
    const startMs = performance.now();
    try {
      const taken = take(message, rng, index);
      if (taken instanceof Promise) await taken;
      tally.accepted++;
    } catch (error) {
      if (!isFault(error, ...codes)) throw found(name, index, message, error);
      tally.refused.set(error.code, (tally.refused.get(error.code) ?? 0) + 1);
    }
    const tookMs = performance.now() - startMs;
    tally.slowestMs = Math.max(tally.slowestMs, tookMs);
    if (tookMs > MESSAGE_MS_MAX)
      throw found(name, index, message, new Error(`it took ${Math.round(tookMs)} ms`));
  }
  return tally;
}

function found(name: string, index: number, message: Uint8Array, error: unknown): Error {
  const shown = message.length > 2048 ? `${toHex(message.subarray(0, 2048))}...` : toHex(message);
  const said = error instanceof Error ? `${error.name}: ${error.message}` : String(error);
  const text = `${name}, seed "${SEED}", message ${index} (${message.length} bytes): ${said}\n${shown}`;
  return new Error(text, { cause: error });
}

export function describeTally(name: string, { accepted, refused, slowestMs }: Tally): string {
  const codes = [...refused].map(([code, times]) => `${code} ${times}`).join(", ");
  return `${name}: ${accepted} taken, refused ${codes || "none"}; slowest ${slowestMs.toFixed(1)} ms`;
}
