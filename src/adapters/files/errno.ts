import { constants } from "node:os";

export const EPERM = 1;
export const ENOENT = 2;
export const EINTR = 4;
export const ENXIO = 6;
export const EAGAIN = 11;
export const EACCES = 13;
export const EEXIST = 17;
export const ENOTDIR = 20;
export const EISDIR = 21;
export const EINVAL = 22;
export const ENOSPC = 28;
export const ERANGE = 34;
export const ENAMETOOLONG = 36;
export const ENOSYS = 38;
export const ELOOP = 40;
export const ENODATA = 61;
export const ENOTSUP = 95;
export const EDQUOT = 122;

const NAMES = new Map<number, string>();
for (const [name, value] of Object.entries(constants.errno)) {
  // Two names share one number on Linux: the ones that people know are kept.
  if (name !== "EWOULDBLOCK" && name !== "EOPNOTSUPP") NAMES.set(value, name);
}
// Not in node:os, but what a damaged or removed disk answers with.
for (const [value, name] of [
  [85, "ERESTART"],
  [116, "ESTALE"],
  [117, "EUCLEAN"],
  [121, "EREMOTEIO"],
  [123, "ENOMEDIUM"],
  [126, "ENOKEY"],
] as const) {
  NAMES.set(value, name);
}

/** "ENOENT" for 2. */
export function errnoName(errno: number): string {
  return NAMES.get(errno) ?? `errno ${errno}`;
}
