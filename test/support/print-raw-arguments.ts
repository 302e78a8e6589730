/** Prints what src/cli/raw-arguments.ts finds, in hex: test/unit/cli/raw-arguments.test.ts starts it from a shell. */
import { isFault } from "../../src/base/fault.ts";
import {
  argumentBytes,
  RAW_ARGUMENTS_VARIABLE,
  rawArguments,
  workingDirectoryBytes,
} from "../../src/cli/raw-arguments.ts";

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex");

function directory(): string {
  try {
    return hex(workingDirectoryBytes());
  } catch (error) {
    if (isFault(error)) return error.code;
    throw error;
  }
}

const words = rawArguments().map((text) => hex(argumentBytes(text)));
const inherited = process.env[RAW_ARGUMENTS_VARIABLE] !== undefined;
console.log(JSON.stringify({ words, inherited, directory: directory() }));
