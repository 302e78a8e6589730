import type { PeerId } from "../base/ids.ts";

/** For a peer those that cannot connect with it; symmetric. */
export type Apart = ReadonlyMap<PeerId, ReadonlySet<PeerId>>;

export const NOBODY_APART: Apart = new Map();

/** What peers say they cannot reach. One of two is enough: whoever says it wrongly keeps itself out of rows, nobody else. */
export function apartOf(
  statements: Iterable<{ readonly peer: PeerId; readonly unmet: readonly PeerId[] }>,
): Apart {
  const apart = new Map<PeerId, Set<PeerId>>();
  const add = (from: PeerId, to: PeerId): void => {
    const known = apart.get(from) ?? new Set();
    apart.set(from, known.add(to));
  };
  for (const { peer, unmet } of statements) {
    for (const other of unmet) {
      if (other === peer) continue;
      add(peer, other);
      add(other, peer);
    }
  }
  return apart;
}

export function areApart(apart: Apart, a: PeerId, b: PeerId): boolean {
  return apart.get(a)?.has(b) ?? false;
}

/** Each pair once, the smaller id first. */
export function apartPairs(apart: Apart): [PeerId, PeerId][] {
  return [...apart].flatMap(([a, others]) =>
    [...others].flatMap((b): [PeerId, PeerId][] => (a < b ? [[a, b]] : [])),
  );
}

/** How many of the others a peer is apart from. */
export function apartFrom(apart: Apart, peer: PeerId, others: Iterable<PeerId>): number {
  const known = apart.get(peer);
  if (known === undefined) return 0;
  let count = 0;
  for (const other of others) if (known.has(other)) count++;
  return count;
}

/** More rows than this are not tried for one choice: eight pairs that share no peer need no more. */
const TRIES_MAX = 256;

/**
 * The first row without two peers that are apart, among those that `pick` gives when some peers are left out; where
 * there is none, the one with the fewest such pairs. `pick` returns as many peers as can be had, best first: of two in
 * a row that are apart, one has to go, and the later one is tried first. So a row is found wherever there is one,
 * within the bound. `owner`, where there is one, has to meet all of them.
 */
export function pickTogether(
  pick: (without: ReadonlySet<PeerId>) => readonly PeerId[],
  apart: Apart,
  owner: PeerId | undefined,
): { readonly row: readonly PeerId[]; readonly without: ReadonlySet<PeerId> } {
  let without: ReadonlySet<PeerId> = new Set();
  let row = pick(without);
  if (apart.size === 0) return { row, without };
  const wanted = row.length;
  let fewest = countPairs(row, apart, owner);
  const waiting: ReadonlySet<PeerId>[] = [without];
  for (let tries = 0; tries < TRIES_MAX && fewest > 0; tries++) {
    const next = waiting.pop();
    if (next === undefined) break;
    const candidate = pick(next);
    if (candidate.length < wanted) continue;
    const pairs = countPairs(candidate, apart, owner);
    if (pairs < fewest) [row, without, fewest] = [candidate, next, pairs];
    const [earlier, later] = firstPair(candidate, apart, owner);
    // The last one put in is taken out first.
    if (earlier !== undefined) waiting.push(new Set([...next, earlier]));
    if (later !== undefined) waiting.push(new Set([...next, later]));
  }
  return { row, without };
}

function countPairs(row: readonly PeerId[], apart: Apart, owner: PeerId | undefined): number {
  const others = owner === undefined ? row : [owner, ...row];
  return row.reduce((sum, peer, index) => {
    const before = others.slice(0, owner === undefined ? index : index + 1);
    return sum + apartFrom(apart, peer, before);
  }, 0);
}

/** The owner is in every row: of a pair with it there is one to go. */
function firstPair(
  row: readonly PeerId[],
  apart: Apart,
  owner: PeerId | undefined,
): readonly [PeerId | undefined, PeerId | undefined] {
  for (const [index, later] of row.entries()) {
    if (owner !== undefined && areApart(apart, owner, later)) return [undefined, later];
    const earlier = row.slice(0, index).find((peer) => areApart(apart, peer, later));
    if (earlier !== undefined) return [earlier, later];
  }
  return [undefined, undefined];
}
