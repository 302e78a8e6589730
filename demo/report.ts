import { formatBytes } from "../src/base/units.ts";
import { table } from "../src/cli/text.ts";

/** One row of the table at the end. */
export interface Step {
  readonly name: string;
  /** What came of it, in a few words. */
  what: string;
  seconds: number;
  bytesMoved?: number;
}

/** What the demo says while it goes, and what it has to answer for at the end. */
export class Report {
  readonly #steps: Step[] = [];
  readonly #failures: string[] = [];
  readonly #omissions: string[] = [];
  #isClosed = false;

  /** Says that a step begins, runs it, says what came of it and how long it took. */
  async step<T>(name: string, work: (step: Step) => Promise<T>): Promise<T> {
    const step: Step = { name, what: "", seconds: 0 };
    this.#steps.push(step);
    this.#print(`\n${this.#steps.length}. ${name}`);
    const beganMs = performance.now();
    try {
      return await work(step);
    } catch (error) {
      step.what = step.what === "" ? "FAILED" : `${step.what}, FAILED`;
      throw error;
    } finally {
      step.seconds = (performance.now() - beganMs) / 1000;
      const moved = step.bytesMoved === undefined ? "" : `, ${formatBytes(step.bytesMoved)} moved`;
      if (step.what !== "") this.say(`${step.what} (${step.seconds.toFixed(1)} s${moved})`);
    }
  }

  say(text: string): void {
    for (const line of text.trimEnd().split("\n")) this.#print(`   ${line}`);
  }

  /** Something did not hold; the demo goes on, and ends with status 1. */
  fail(text: string): void {
    this.#failures.push(
      `${this.#steps.at(-1)?.name.toLowerCase() ?? "before it began"}: ${text.replace(/\.$/, "")}`,
    );
    this.say(`DID NOT HOLD: ${text}`);
  }

  /** Something of the source was left out; the demo ends with status 3. */
  omit(text: string): void {
    if (!this.#omissions.includes(text)) this.#omissions.push(text);
    this.say(`LEFT OUT: ${text}`);
  }

  /** Says nothing more: the demo was interrupted. */
  close(): void {
    this.#isClosed = true;
  }

  get isEmpty(): boolean {
    return this.#steps.length === 0;
  }

  table(): void {
    const rows = this.#steps.map(({ name, what, seconds, bytesMoved }) => [
      name,
      what,
      seconds.toFixed(1),
      bytesMoved === undefined ? "-" : formatBytes(bytesMoved),
    ]);
    const header = ["STEP", "WHAT", "SECONDS", "BYTES MOVED"];
    this.#print(`\n${table(header, rows, header.slice(2))}`);
  }

  /** The last line, and the exit status. */
  verdict(): number {
    if (this.#failures.length > 0) {
      this.#print(`Verdict: NOT HELD. ${this.#failures.join("; ")}.`);
      return 1;
    }
    if (this.#omissions.length > 0) {
      this.#print(`Verdict: held, for all that could be saved. Left out: ${this.#omissions.join("; ")}.`);
      return 3;
    }
    this.#print(
      "Verdict: held. A site and then the owner's machine were lost, and every byte came back both times.",
    );
    return 0;
  }

  #print(text: string): void {
    if (!this.#isClosed) console.log(text);
  }
}
