import type { z } from "zod";

/** What does not fit, on one line: where, and what is expected there. */
export function issuesText(
  { issues }: z.ZodError,
  nameOf: (path: string) => string = (path) => path,
): string {
  return issues
    .map(({ path, message }) => (path.length === 0 ? message : `${nameOf(path.join("."))}: ${message}`))
    .join("; ");
}
