import { runCommandLine } from "./program.ts";
import { realWorld } from "./world.ts";

const status = await runCommandLine(realWorld());
// What is still open, such as a standard input that nobody reads to its end, must not keep the process alive;
// but what was printed has to be out first.
process.exitCode = status;
process.stdout.write("", () => process.stderr.write("", () => process.exit(status)));
