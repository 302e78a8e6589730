import { registerHooks } from "node:module";
import { relative, sep } from "node:path";
import { fileURLToPath } from "node:url";
import { CANARY, MUTATIONS } from "./table.ts";

// Loaded before anything else of a process that is to have a bug: exchanges a few words of the core's source on its way
// in. The core itself has no switch for it.

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const NAME = process.env["CAIRN_SIM_BUG"];
const mutation = [CANARY, ...MUTATIONS].find(({ name }) => name === NAME);
if (mutation === undefined) throw new Error(`there is no bug "${NAME}"`);

registerHooks({
  load(url, context, next) {
    const loaded = next(url, context);
    const file = url.startsWith("file:") ? relative(ROOT, fileURLToPath(url)).split(sep).join("/") : "";
    const edits = mutation.edits.filter((edit) => edit.file === file);
    if (edits.length === 0) return loaded;
    let source = new TextDecoder().decode(bytesOf(loaded.source));
    for (const { from, to } of edits) {
      if (source.split(from).length !== 2) throw new Error(`"${from}" is not there once in ${file}`);
      source = source.replace(from, () => to);
    }
    return { ...loaded, source };
  },
});

function bytesOf(source: unknown): Uint8Array {
  if (typeof source === "string") return new TextEncoder().encode(source);
  if (source instanceof Uint8Array) return source;
  if (source instanceof ArrayBuffer) return new Uint8Array(source);
  throw new Error("this module has no source");
}
