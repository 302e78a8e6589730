import { z } from "zod";
import { Fault } from "../base/fault.ts";
import { type BytePath, bytePath, bytePathOf, normalizePath } from "../base/paths.ts";
import { parseDuration, parseSize } from "../base/units.ts";
import type { Profile, SnapshotSelector, SnapshotSource } from "../control/api.ts";
import { parseMoment, type TypedMoment } from "./local-time.ts";
import { argumentBytes } from "./raw-arguments.ts";
import type { World } from "./world.ts";

/** What people type, as values; each throws USAGE with an example of what is right. */

export function usage(reason: string): Fault {
  return new Fault({ code: "USAGE", reason });
}

function value<T>(parse: (text: string) => T | undefined, what: string, example: string) {
  return z.string().transform((text) => {
    const parsed = parse(text);
    if (parsed === undefined) throw usage(`"${text}" is not ${what}, such as ${example}.`);
    return parsed;
  });
}

export const sizeValue = value((text) => parseSize(text), "a size", "500GiB");
export const durationValue = value((text) => parseDuration(text), "a duration", "24h or 30d");
export const countValue = value(
  (text) => (/^[1-9]\d{0,8}$/.test(text) ? Number(text) : undefined),
  "a number from 1 up",
  "3",
);
export const listenValue = value(
  (text) => (/^\/\w+\/|:\d{1,5}$/.test(text) ? text : undefined),
  "an address",
  "0.0.0.0:4001",
);
/** `undefined` inside for `auto`. */
export const profileValue = value<{ profile: Profile | undefined }>(parseProfile, "a profile", "6+3 or auto");

function parseProfile(text: string): { profile: Profile | undefined } | undefined {
  if (text === "auto") return { profile: undefined };
  const match = /^(\d{1,2})\+(\d{1,2})$/.exec(text);
  if (match === null) return undefined;
  const profile = { k: Number(match[1]), m: Number(match[2]) };
  return profile.k >= 1 && profile.k + profile.m <= 64 ? { profile } : undefined;
}

export const repeated = z.array(z.string()).default([]);

/** An argument or option as the bytes that were typed. */
export const bytesArgument = (text: string): BytePath => bytePath(argumentBytes(text));

/** Made absolute from the current directory; symbolic links stay as they are. */
export function localPath(text: string, world: World): BytePath {
  if (text === "") throw usage("An empty path names nothing.");
  const path = bytesArgument(text);
  return normalizePath(path, path.startsWith("/") ? ROOT : world.workingDirectory());
}

const ROOT = bytePathOf("/");

/** Absolute: in a snapshot there is no current directory. */
export const pathInSnapshot = (text: string): BytePath => normalizePath(bytesArgument(text), ROOT);

export const tagList = repeated.transform((tags) => {
  const wrong = tags.find((tag) => tag === "" || tag.length > 255 || !tag.isWellFormed());
  if (wrong !== undefined) throw usage(`"${wrong}" is not a tag: up to 255 characters of UTF-8.`);
  return tags;
});

/** `HOST` or `HOST:PATH`, as `cairn snapshots` shows them. */
export const sourceValue = z.string().transform((typed): SnapshotSource => {
  const colon = typed.indexOf(":");
  const host = colon < 0 ? typed : typed.slice(0, colon);
  const path = colon < 0 ? "" : typed.slice(colon + 1);
  if (host === "" || host.length > 255 || !(path === "" || path.startsWith("/")))
    throw usage(`"${typed}" is not a machine and a path on it, such as till-3:/srv/shop.`);
  return path === "" ? { host } : { host, path: pathInSnapshot(path) };
});

/** Of commands that list snapshots. */
export const selecting = { tag: tagList, path: repeated, source: sourceValue.optional() };

/** Of commands that take `latest`. */
export const narrowing = { ...selecting, at: z.string().transform(parseMoment).optional() };
type Narrowing = {
  readonly tag: readonly string[];
  readonly path: readonly string[];
  readonly at?: TypedMoment | undefined;
  readonly source?: SnapshotSource | undefined;
};

/**
 * `SNAPSHOT[:PATH]`, with the options that narrow `latest`; with `--at` or `--source` it may be left out. The path of
 * `--source` is then the path that is meant.
 */
export function parseTarget(
  argument: string | undefined,
  narrow: Narrowing,
  world: World,
): { selector: SnapshotSelector; path: BytePath | undefined } {
  const { at, source } = narrow;
  const text = argument ?? (at === undefined && source === undefined ? "" : "latest");
  if (text === "")
    throw usage(
      'Which snapshot? Give "latest", an id or the beginning of one, --at TIME or --source HOST:PATH.',
    );
  const colon = text.indexOf(":");
  const snapshot = colon < 0 ? text : text.slice(0, colon);
  if (snapshot !== "latest" && !/^[0-9a-f]{1,64}$/.test(snapshot))
    throw usage(`"${snapshot}" is not a snapshot: give "latest", an id or the beginning of one.`);
  if (at !== undefined && snapshot !== "latest")
    throw usage(`--at finds a snapshot by its time: give it with "latest", not with the id "${snapshot}".`);
  if (source !== undefined && snapshot !== "latest")
    throw usage(`--source finds a snapshot: give it with "latest", not with the id "${snapshot}".`);
  const selector = {
    snapshot,
    ...(source === undefined ? {} : { source }),
    ...(at === undefined ? {} : { atMs: at.ms }),
    tags: [...narrow.tag],
    paths: narrow.path.map((path) => localPath(path, world)),
  };
  const inside = colon < 0 ? "" : text.slice(colon + 1);
  return { selector, path: inside === "" ? source?.path : pathInSnapshot(inside) };
}
