import { assert } from "../src/base/assert.ts";

const FIRST_CAPACITY = 1024;

/**
 * What is to happen, the earliest first, and among equals the one that was put in first. Numbers in typed arrays, four
 * children to a node: a simulated year is millions of these.
 */
export class EventHeap {
  #length = 0;
  #times = new Float64Array(FIRST_CAPACITY);
  /** Order of putting in: decides between equal times. */
  #orders = new Float64Array(FIRST_CAPACITY);
  #items = new Uint32Array(FIRST_CAPACITY);
  #nextOrder = 0;

  get length(): number {
    return this.#length;
  }

  /** Of the first; only where there is one. */
  get firstTime(): number {
    return this.#times[0] ?? Number.POSITIVE_INFINITY;
  }

  push(time: number, item: number): void {
    if (this.#length === this.#times.length) this.#grow();
    const [times, orders, items] = [this.#times, this.#orders, this.#items];
    const order = this.#nextOrder++;
    let at = this.#length++;
    while (at > 0) {
      const above = (at - 1) >> 2;
      if (valueAt(times, above) <= time) break;
      this.#move(above, at);
      at = above;
    }
    times[at] = time;
    orders[at] = order;
    items[at] = item;
  }

  /** Takes the first one out. */
  pop(): number {
    assert(this.#length > 0, "there is something to take out");
    const first = this.#items[0] ?? 0;
    const last = --this.#length;
    if (last > 0) this.#sink(last);
    return first;
  }

  /** Puts what is at `from` in the place of the first, and lets it sink to where it belongs. */
  #sink(from: number): void {
    const [times, orders, items] = [this.#times, this.#orders, this.#items];
    const [time, order, item] = [valueAt(times, from), valueAt(orders, from), items[from] ?? 0];
    let at = 0;
    for (let child = 1; child < this.#length; child = 4 * at + 1) {
      let least = child;
      const end = Math.min(child + 4, this.#length);
      for (let other = child + 1; other < end; other++) if (this.#isBefore(other, least)) least = other;
      const isPlace =
        time < valueAt(times, least) || (time === valueAt(times, least) && order < valueAt(orders, least));
      if (isPlace) break;
      this.#move(least, at);
      at = least;
    }
    times[at] = time;
    orders[at] = order;
    items[at] = item;
  }

  #isBefore(a: number, b: number): boolean {
    const [timeA, timeB] = [valueAt(this.#times, a), valueAt(this.#times, b)];
    return timeA < timeB || (timeA === timeB && valueAt(this.#orders, a) < valueAt(this.#orders, b));
  }

  #move(from: number, to: number): void {
    this.#times[to] = valueAt(this.#times, from);
    this.#orders[to] = valueAt(this.#orders, from);
    this.#items[to] = this.#items[from] ?? 0;
  }

  #grow(): void {
    const capacity = this.#times.length * 2;
    this.#times = grown(this.#times, new Float64Array(capacity));
    this.#orders = grown(this.#orders, new Float64Array(capacity));
    this.#items = grown(this.#items, new Uint32Array(capacity));
  }
}

function valueAt(values: Float64Array, index: number): number {
  return values[index] ?? Number.POSITIVE_INFINITY;
}

function grown<T extends Float64Array | Uint32Array>(from: T, into: T): T {
  into.set(from);
  return into;
}
