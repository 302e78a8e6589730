import type { Command } from "commander";
import type { Bind } from "../session.ts";

/** Adds one command to the program and gives it back. */
export type AddCommand = (program: Command, bind: Bind) => Command;
