import { createFileTarget } from "../../src/adapters/files/index.ts";
import { bytePathOf } from "../../src/base/paths.ts";
import { scratchDirectories } from "../support/scratch.ts";
import { describeFileTarget, type TargetUnderTest } from "./file-target.ts";

const scratch = scratchDirectories();

async function create(options: { stepwise: boolean }): Promise<TargetUnderTest> {
  return {
    target: await createFileTarget(bytePathOf(`${scratch()}/made/by/need`), options),
    uid: process.getuid?.() ?? 0,
    gid: process.getgid?.() ?? 0,
  };
}

describeFileTarget("this machine's, paths checked by the kernel", () => create({ stepwise: false }));
describeFileTarget("this machine's, paths checked step by step", () => create({ stepwise: true }));
