import { runSimulator } from "./command.ts";

process.exitCode = await runSimulator(process.argv.slice(2));
