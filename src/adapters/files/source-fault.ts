import { Fault } from "../../base/fault.ts";
import { type BytePath, displayPath } from "../../base/paths.ts";
import { ENOENT, errnoName } from "./errno.ts";

/** `SOURCE_MISSING` for what is not there, `SOURCE_UNREADABLE` for all else. */
export function sourceFault(path: BytePath, result: number): Fault {
  const shown = displayPath(path);
  if (result === -ENOENT) return new Fault({ code: "SOURCE_MISSING", path: shown });
  return new Fault({ code: "SOURCE_UNREADABLE", path: shown, errno: errnoName(-result) });
}
