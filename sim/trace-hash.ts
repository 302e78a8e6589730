/** After so many things mixed in, the hash so far is kept: two runs that part are compared up to where they do. */
const CHECKPOINT_EVERY = 4096;

/** A fingerprint of everything that happened, in its order: 64 bits, enough to see that two runs are not the same. */
export class TraceHash {
  #a = 0x811c9dc5 | 0;
  #b = 0x1b873593 | 0;
  #mixed = 0;
  /** The hash after each so many. */
  readonly checkpoints: string[] = [];
  readonly #float = new Float64Array(1);
  readonly #words = new Int32Array(this.#float.buffer);

  mix(word: number): void {
    this.#a = Math.imul(this.#a ^ word, 0x01000193);
    this.#b = Math.imul(((this.#b << 13) | (this.#b >>> 19)) ^ word, 0xcc9e2d51);
    if (++this.#mixed % CHECKPOINT_EVERY === 0) this.checkpoints.push(this.hex());
  }

  mixNumber(value: number): void {
    this.#float[0] = value;
    this.mix((this.#words[0] ?? 0) ^ Math.imul(this.#words[1] ?? 0, 0x9e3779b1));
  }

  mixText(text: string): void {
    let word = text.length;
    for (let at = 0; at < text.length; at++) word = Math.imul(word ^ text.charCodeAt(at), 0x01000193);
    this.mix(word);
  }

  mixBytes(bytes: Uint8Array): void {
    let word = bytes.length;
    for (const byte of bytes) word = Math.imul(word ^ byte, 0x01000193);
    this.mix(word);
  }

  hex(): string {
    return [this.#a, this.#b].map((word) => (word >>> 0).toString(16).padStart(8, "0")).join("");
  }
}

/** Index of the first checkpoint at which two runs differ; `undefined` where they do not within what both have. */
export function partedAt(one: readonly string[], other: readonly string[]): number | undefined {
  const length = Math.min(one.length, other.length);
  for (let at = 0; at < length; at++) if (one[at] !== other[at]) return at * CHECKPOINT_EVERY;
  return undefined;
}
