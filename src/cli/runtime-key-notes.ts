import { existsSync, mkdirSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { z } from "zod";
import { syncDirectory, writeSynced } from "./runtime-home.ts";

const DIRECTORY = "keys/copies";
const ID = /^[0-9a-f]{12}$/;
/** What a person still knows the places of. Beyond, making another one is refused: nobody's list would show it. */
export const COPIES_MAX = 256;

const common = {
  version: z.literal(1),
  /** Hex of the recovery id whose words were copied. */
  recovery: z.string().regex(/^[0-9a-f]{64}$/),
  timeMs: z.int().nonnegative(),
};
const schema = z.discriminatedUnion("kind", [
  z.object({ ...common, kind: z.literal("passphrase"), label: z.string().max(64).exactOptional() }).strict(),
  z
    .object({
      ...common,
      kind: z.literal("split"),
      threshold: z.int().min(2).max(16),
      shares: z.int().min(2).max(16),
    })
    .strict(),
]);
/** That a copy of the recovery key was made, and nothing that is in it. */
export type KeyNote = z.output<typeof schema>;
export type NotedCopy = KeyNote & { readonly id: string };

/** A file for each, so that two commands at a time do not lose each other's. */
export async function noteCopy(home: string, id: string, note: KeyNote): Promise<void> {
  mkdirSync(join(home, DIRECTORY), { recursive: true, mode: 0o700 });
  await writeSynced(home, `${DIRECTORY}/${id}.json`, Buffer.from(`${JSON.stringify(schema.parse(note))}\n`));
  await syncDirectory(join(home, "keys"));
}

/** The oldest first. What cannot be read is left out: it opens nothing, and nothing depends on it. */
export function notedCopies(home: string): NotedCopy[] {
  const directory = join(home, DIRECTORY);
  if (!existsSync(directory)) return [];
  const notes = readdirSync(directory).flatMap((file): NotedCopy[] => {
    const id = file.replace(/\.json$/, "");
    if (!ID.test(id) || id === file) return [];
    const note = schema.safeParse(jsonOf(readFileSync(join(directory, file), "utf8")));
    return note.success ? [{ ...note.data, id }] : [];
  });
  return notes.sort((a, b) => a.timeMs - b.timeMs || (a.id < b.id ? -1 : 1)).slice(-COPIES_MAX);
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
