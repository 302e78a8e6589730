import { isFault } from "../base/fault.ts";
import { type BytePath, joinPath } from "../base/paths.ts";
import type { FileTarget } from "../ports/index.ts";
import type { PartialTrees } from "./partial-trees.ts";
import type { RestoreReport } from "./report.ts";
import type { SelectedEntry, Selector } from "./selection.ts";
import type { TreeReader } from "./tree-reader.ts";

export interface RemoverComponents {
  readonly target: FileTarget;
  readonly trees: TreeReader;
  readonly selector: Selector;
  readonly partial: PartialTrees | undefined;
  readonly report: RestoreReport;
}

/**
 * `--delete`: takes away from the target what would have been written from the snapshot if it were there. What was not asked for is not
 * touched, and nothing where not all is known that the snapshot has.
 */
export class Remover {
  readonly #c: RemoverComponents;
  readonly #isDryRun: boolean;

  constructor(components: RemoverComponents, init: { readonly dryRun: boolean }) {
    this.#c = components;
    this.#isDryRun = init.dryRun;
  }

  /** Of one directory, that is in the target. */
  async clear({ path, to, entry, isParent }: SelectedEntry, signal: AbortSignal): Promise<void> {
    if (!isParent) await this.#removeOthers({ path, to, pages: entry.tree ?? [] }, signal);
  }

  /** Of the target itself, where the snapshot says what is in it. */
  async clearTop(signal: AbortSignal): Promise<void> {
    const top = await this.#c.selector.top(signal);
    if (top !== undefined && !top.isParent) await this.#removeOthers({ ...top, to: "" as BytePath }, signal);
  }

  async #removeOthers(
    directory: { path: BytePath; to: BytePath; pages: readonly Uint8Array[] },
    signal: AbortSignal,
  ): Promise<void> {
    const { target, trees, selector, partial, report } = this.#c;
    if (partial?.losses.has(directory.path) === true) return;
    const entries = await trees.entries(directory.pages, signal);
    const names = new Set(entries.map((entry) => entry.name));
    for (const { name, stat } of await target.list(directory.to)) {
      const path = joinPath(directory.path, name);
      if (names.has(name) || !selector.isSelected(path)) continue;
      const to = directory.to === "" ? name : joinPath(directory.to, name);
      try {
        if (!this.#isDryRun) await target.remove(to, { recursive: stat?.type === "directory" });
        report.deleted++;
      } catch (error) {
        if (!isFault(error, "TARGET_FAILED", "TARGET_UNSAFE")) throw error;
        report.problem(path, "delete", error.message);
      }
    }
  }
}
