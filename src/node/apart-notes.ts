import type { PeerId } from "../base/ids.ts";
import { apartPairs } from "../placement/index.ts";
import type { Node } from "./node.ts";

/** Beyond this many pairs it is one line that counts them. */
const NAMED_MAX = 10;

/** A sentence for each pair that cannot meet, by name. */
export function apartNotes(node: Node): string[] {
  const pairs = apartPairs(node.view.apart());
  const named = pairs.slice(0, NAMED_MAX).map((pair) => {
    const [a, b] = pair.map((peer) => nameOf(node, peer)).sort();
    return `${a} and ${b} cannot reach each other: no new row has both. Forward a port at one of them.`;
  });
  const more = pairs.length - named.length;
  return more > 0
    ? [...named, `${more} more pairs cannot reach each other; "cairn peers --json" has them.`]
    : named;
}

function nameOf({ roster }: Node, peer: PeerId): string {
  return roster.member(peer)?.name ?? peer;
}

/** Who keeps this node from writing the newest format that it could. */
export function versionNotes(node: Node): string[] {
  const { version, heldBackBy } = node.view.writable();
  if (heldBackBy.length === 0) return [];
  const names = heldBackBy
    .slice(0, NAMED_MAX)
    .map((peer) => nameOf(node, peer))
    .sort();
  const more = heldBackBy.length > names.length ? ` and ${heldBackBy.length - names.length} more` : "";
  return [`Written in format ${version} until these are upgraded: ${names.join(", ")}${more}.`];
}
