import { MINUTE_MS } from "../../base/units.ts";
import { libc } from "./libc.ts";

// A daemon runs for months and users are added meanwhile; a walk asks for the same few ids a million times.
const CACHE_MS = 10 * MINUTE_MS;
const CACHE_ENTRIES_MAX = 100_000;

/** Names of ids, asked of the system's name services once in ten minutes. */
export class NameCache {
  readonly #names = new Map<number, string | undefined>();
  readonly #lookUp: (id: number) => string | undefined;
  #freshUntilMs = 0;

  constructor(lookUp: (id: number) => string | undefined) {
    this.#lookUp = lookUp;
  }

  nameOf(id: number): string | undefined {
    const nowMs = performance.now();
    if (nowMs > this.#freshUntilMs || this.#names.size >= CACHE_ENTRIES_MAX) {
      this.#names.clear();
      this.#freshUntilMs = nowMs + CACHE_MS;
    }
    if (!this.#names.has(id)) this.#names.set(id, this.#lookUp(id));
    return this.#names.get(id);
  }
}

export const userNames = (): NameCache => new NameCache((uid) => libc().userName(uid));
export const groupNames = (): NameCache => new NameCache((gid) => libc().groupName(gid));
