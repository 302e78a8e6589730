import { z } from "zod";
import { toBase64 } from "../base/bytes.ts";
import { type BytePath, bytePath, displayPath, pathBytes } from "../base/paths.ts";

/** A path on its way to the daemon: base64 of its bytes in JSON, a `BytePath` in the program. */
export const pathCodec = z.codec(
  z.base64(),
  z.custom<BytePath>((value) => typeof value === "string"),
  {
    decode: (text) => bytePath(Buffer.from(text, "base64")),
    encode: (path) => toBase64(pathBytes(path)),
  },
);

/** A path in an answer: `path` for people (U+FFFD where it is not UTF-8), `pathBase64` for programs. */
export const shownPath = z.object({ path: z.string(), pathBase64: z.string() });
export type ShownPath = z.infer<typeof shownPath>;

export function showPath(path: BytePath): ShownPath {
  return { path: displayPath(path), pathBase64: toBase64(pathBytes(path)) };
}

/** The bytes again, from an answer's `pathBase64`. */
export function pathOf(shown: ShownPath): BytePath {
  return bytePath(Buffer.from(shown.pathBase64, "base64"));
}
