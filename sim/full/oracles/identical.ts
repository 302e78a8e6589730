import { equalBytes } from "../../../src/base/bytes.ts";
import { type BytePath, displayPath } from "../../../src/base/paths.ts";
import type { SimMachine } from "../machine.ts";
import type { TrueSnapshot } from "../truth.ts";
import type { World } from "../world.ts";

/** What came back is what was saved: no file more, none less, every byte. */
export function compareFiles(
  world: World,
  machine: SimMachine,
  snapshot: TrueSnapshot,
  restored: ReadonlyMap<BytePath, Uint8Array>,
): void {
  const wrong = [...snapshot.files].find(([path, contents]) => {
    const back = restored.get(path);
    return back === undefined || !equalBytes(back, contents);
  });
  const which = `restored from ${snapshot.id.slice(0, 12)}`;
  if (wrong !== undefined)
    world.violate("identical", `${displayPath(wrong[0])} is not as it was, ${which}`, machine);
  else if (restored.size !== snapshot.files.size)
    world.violate("identical", `${restored.size} files instead of ${snapshot.files.size}, ${which}`, machine);
}
