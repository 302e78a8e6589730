import { equalBytes, utf8 } from "./bytes.ts";
import type { BytePath } from "./paths.ts";
import { bytePathOf } from "./paths.ts";

/** The file in every cairn home by which it is known: a home is never part of a snapshot, nobody's is. */
export const HOME_MARKER_NAME: BytePath = bytePathOf("cairn-home");

/** Layout of the home directory. */
export const HOME_FORMAT_VERSION = 1;

// The first line never changes; the hash is the SHA-256 of "cairn home marker" and makes a chance match of a
// file of this name impossible, as the signature of CACHEDIR.TAG does.
const SIGNATURE = "Signature: cairn-home 7c4d41d2a0b94868d62b2f8f17bc93810ee2ce102b3496fce1375bdc69acbede\n";

/** All of the file. */
export const HOME_MARKER: Uint8Array = utf8(
  `${SIGNATURE}` +
    `Format: ${HOME_FORMAT_VERSION}\n` +
    "# This directory is the home of a cairn node: its keys, and what it keeps for other peers.\n" +
    "# Backups leave it out; do not copy it to another machine while this one runs.\n",
);

/** What of a directory entry is looked at. */
interface MarkedEntry {
  readonly name: BytePath;
  readonly stat?: { readonly type: string; readonly size: number };
}

/** Comments may be added by later versions and by people. */
export const HOME_MARKER_BYTES_MAX = 4096;

/**
 * Whether a directory with these entries looks like a cairn home: a regular file of the marker's name and of a
 * size that it can have. `parseHomeMarker` on its bytes makes certain.
 */
export function hasHomeMarker(entries: readonly MarkedEntry[]): boolean {
  return entries.some(
    ({ name, stat }) =>
      name === HOME_MARKER_NAME &&
      stat?.type === "file" &&
      stat.size >= SIGNATURE.length &&
      stat.size <= HOME_MARKER_BYTES_MAX,
  );
}

/** The format version of a home by its marker file; `undefined` when the bytes are no marker. */
export function parseHomeMarker(bytes: Uint8Array): number | undefined {
  const signature = utf8(SIGNATURE);
  if (!equalBytes(bytes.subarray(0, signature.length), signature)) return undefined;
  const line = /^Format: (\d{1,6})\n/.exec(
    new TextDecoder("latin1").decode(bytes.subarray(signature.length)),
  );
  return line === null ? undefined : Number(line[1]);
}
