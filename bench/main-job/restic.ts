import { join } from "node:path";
import { run, runWell } from "./processes.ts";

/** The measure of the other figures: restic to a directory on the same disk, with its own defaults. */
export class Restic {
  readonly repository: string;
  readonly #environment: Readonly<Record<string, string>>;

  private constructor(directory: string) {
    this.repository = join(directory, "restic-repository");
    this.#environment = {
      RESTIC_REPOSITORY: this.repository,
      RESTIC_PASSWORD: "benchmark",
      RESTIC_CACHE_DIR: join(directory, "restic-cache"),
    };
  }

  /** `undefined` where restic is not installed. */
  static async create(directory: string): Promise<Restic | undefined> {
    const found = await run("restic", ["version"]).catch(() => undefined);
    if (found?.status !== 0) return undefined;
    const restic = new Restic(directory);
    await restic.#run("init");
    return restic;
  }

  /** Milliseconds, the program's own start included. */
  backup(path: string): Promise<number> {
    return this.#run("backup", path);
  }

  restore(target: string): Promise<number> {
    return this.#run("restore", "latest", "--target", target);
  }

  async #run(...args: string[]): Promise<number> {
    return (await runWell("restic", ["--quiet", ...args], this.#environment)).durationMs;
  }
}
