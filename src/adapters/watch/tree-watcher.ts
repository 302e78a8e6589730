import { isFault, messageOf } from "../../base/fault.ts";
import type { FileTree, TreeWatcher } from "../../ports/index.ts";
import { libc } from "../files/libc.ts";
import { tooManyDirectories, watchesMax } from "./limits.ts";
import { WatchedTree } from "./watched-tree.ts";

/** @param directoriesMax of all watches together, for tests; else what the kernel allows leaves. */
export function createTreeWatcher(
  tree: Pick<FileTree, "isHome">,
  options: { readonly directoriesMax?: number } = {},
): TreeWatcher {
  const open = new Set<WatchedTree>();
  return {
    async open(scope, signal) {
      try {
        libc();
      } catch (error) {
        if (!isFault(error)) throw error;
        return { ok: false, reason: messageOf(error).replace(/\.$/, "") };
      }
      const max = options.directoriesMax ?? watchesMax();
      const full = (): string | undefined => {
        let directories = 0;
        for (const one of open) directories += one.directories;
        return directories < max ? undefined : tooManyDirectories(max);
      };
      const watch = new WatchedTree({ scope, tree, full, onClose: () => open.delete(watch) });
      open.add(watch);
      const onAbort = (): void => watch.close();
      signal.addEventListener("abort", onAbort, { once: true });
      const reason = await watch.renew();
      signal.removeEventListener("abort", onAbort);
      if (reason === undefined) return { ok: true, watch };
      watch.close();
      return { ok: false, reason };
    },
  };
}
