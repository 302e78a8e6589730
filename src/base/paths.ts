import { Buffer } from "node:buffer";
import { fromUtf8 } from "./bytes.ts";

declare const brand: unique symbol;

/**
 * A file name or path as the kernel has it: bytes, not text. Held as a string in which every UTF-16 unit is
 * one byte (0..255), so that it can be a map key, be split at "/" and be compared in byte order. It is never
 * shown or printed as it stands: `displayPath` decodes it.
 */
export type BytePath = string & { readonly [brand]: "BytePath" };

export function bytePath(bytes: Uint8Array): BytePath {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("latin1") as BytePath;
}

/** The bytes to hand to the kernel. */
export function pathBytes(path: BytePath): Buffer {
  return Buffer.from(path, "latin1");
}

/** From ordinary text, as typed in source code or a configuration. */
export function bytePathOf(text: string): BytePath {
  return Buffer.from(text, "utf8").toString("latin1") as BytePath;
}

/** For people: bytes that are not UTF-8 show as U+FFFD. */
export function displayPath(path: BytePath): string {
  return fromUtf8(pathBytes(path));
}

export function joinPath(parent: BytePath, name: BytePath): BytePath {
  return (parent.endsWith("/") ? `${parent}${name}` : `${parent}/${name}`) as BytePath;
}

/** The last component. */
export function baseName(path: BytePath): BytePath {
  return path.slice(path.lastIndexOf("/") + 1) as BytePath;
}

/** Of an absolute path other than "/". */
export function parentPath(path: BytePath): BytePath {
  return (path.slice(0, path.lastIndexOf("/")) || "/") as BytePath;
}

/** The parts between slashes, empty ones and "." left out; "" and "/" give none. */
export function splitPath(path: BytePath): BytePath[] {
  return path.split("/").filter((part) => part !== "" && part !== ".") as BytePath[];
}

/** Whether `name` may be one component of a path that we create: no slash, no NUL, not empty, not "." or "..". */
export function isPlainName(name: BytePath): boolean {
  return name !== "" && name !== "." && name !== ".." && !name.includes("/") && !name.includes("\0");
}

/** Whether `path` is `ancestor` or lies below it. Both absolute and normalised. */
export function isWithin(path: BytePath, ancestor: BytePath): boolean {
  if (ancestor === "/") return path.startsWith("/");
  return path === ancestor || path.startsWith(`${ancestor}/`);
}

/** Absolute, without ".", ".." (resolved by text, as `cd -L` does) or doubled slashes. */
export function normalizePath(path: BytePath, workingDirectory: BytePath): BytePath {
  const parts: string[] = [];
  const absolute = path.startsWith("/") ? path : `${workingDirectory}/${path}`;
  for (const part of absolute.split("/")) {
    if (part === "" || part === ".") continue;
    if (part === "..") parts.pop();
    else parts.push(part);
  }
  return `/${parts.join("/")}` as BytePath;
}
