import { Fault } from "../../base/fault.ts";

/** What the system calls a failure: an errno such as "EIO"; "UNKNOWN" where it says nothing. */
export function errnoOf(error: unknown): string {
  if (typeof error === "object" && error !== null && "code" in error && typeof error.code === "string") {
    return error.code;
  }
  return "UNKNOWN";
}

/** The fault for a failed operation of the file system. A quota that is used up is a full disk to us. */
export function diskFault(error: unknown, where: string): Fault {
  if (error instanceof Fault) return error;
  const errno = errnoOf(error);
  if (errno === "ENOSPC" || errno === "EDQUOT")
    return new Fault({ code: "DISK_FULL", where }, { cause: error });
  return new Fault({ code: "DISK_FAILED", where, errno }, { cause: error });
}
