import type { PeerId } from "../base/ids.ts";

const ANSWERS_MAX = 4096;

/** As what other members answered this node last: so a node that was taken out learns of it from those who know. */
export class AnsweredAs {
  readonly #last = new Map<PeerId, "member" | "former">();
  readonly #listeners = new Set<() => void>();

  note(peer: PeerId, as: "member" | "former"): void {
    if (this.#last.get(peer) === as) return;
    if (this.#last.size >= ANSWERS_MAX) this.#last.clear();
    this.#last.set(peer, as);
    for (const listener of [...this.#listeners]) listener();
  }

  /** How many of these peers answered which; those that were not asked yet are in neither. */
  count(peers: readonly PeerId[]): { readonly members: number; readonly formers: number } {
    const answers = peers.flatMap((peer) => this.#last.get(peer) ?? []);
    const formers = answers.filter((as) => as === "former").length;
    return { members: answers.length - formers, formers };
  }

  /** Called when a peer answered something else than before. Returns how to stop. */
  onChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }
}
