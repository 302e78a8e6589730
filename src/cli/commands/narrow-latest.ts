import type { Command } from "commander";
import { collect } from "./collect.ts";

/** The options that `narrowing` of values.ts reads, for commands that take `latest`. */
export function narrowLatest(command: Command): Command {
  return command
    .option("--tag <tag>", "narrow latest to this tag; may be repeated", collect)
    .option("--path <path>", "narrow latest to this path; may be repeated", collect);
}
