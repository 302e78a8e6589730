import { isFault } from "../base/fault.ts";
import type { Node } from "../node/index.ts";

/**
 * Looking inside goes on at a fenced node, as far as its own disk goes; where that ends it is not for want of holders,
 * and nobody should go and bring some back.
 */
export async function* asFarAsHere<T, R>(
  node: Node,
  entries: AsyncGenerator<T, R, void>,
): AsyncGenerator<T, R, void> {
  try {
    return yield* entries;
  } catch (error) {
    if (isFault(error, "TOO_FEW_SHARDS")) node.requireUnfenced();
    throw error;
  }
}
