import { SimFiles } from "../../sim/files.ts";
import type {
  Clock,
  FileTree,
  TreeWatch,
  TreeWatcher,
  WatchOpening,
  WatchSight,
} from "../../src/ports/index.ts";

/** A watch whose sight the test decides. */
export class FakeWatcher implements TreeWatcher {
  /** Why nothing can be watched. */
  refusal: string | undefined;
  /** Why something went unseen; a renewal mends it. */
  lost: string | undefined;
  /** Directories are being taken in, whatever is renewed. */
  isBusy = false;
  isOpen = false;
  renewals = 0;
  #changed = false;

  change(): void {
    this.#changed = true;
  }

  async open(): Promise<WatchOpening> {
    if (this.refusal !== undefined) return { ok: false, reason: this.refusal };
    this.isOpen = true;
    const look = (): WatchSight => {
      const changed = this.#changed;
      this.#changed = false;
      const { lost } = this;
      return {
        changed,
        complete: lost === undefined && !this.isBusy,
        ...(lost === undefined ? {} : { lost }),
      };
    };
    const watch: TreeWatch = {
      directories: 7,
      look,
      renew: async () => {
        this.renewals++;
        this.lost = undefined;
        return this.refusal;
      },
      close: () => {
        this.isOpen = false;
      },
    };
    return { ok: true, watch };
  }
}

/** Of an empty machine. */
export function fakeTree(clock: Clock): FileTree {
  return new SimFiles(() => clock.wallMs()).tree();
}
