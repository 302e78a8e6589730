import { expect, test } from "vitest";
import { runCairn } from "../../support/fake-world.ts";

test("cairn sim hands its arguments on as they are, and its status back", async () => {
  const asked: (readonly string[])[] = [];
  const simulate = async (argv: readonly string[]) => {
    asked.push(argv);
    return 3 as const;
  };
  const argv = ["sim", "run", "--seed", "7", "--require", "log synced", "--json", "--help"];
  const ran = await runCairn(argv, { world: { simulate } });
  expect(asked).toEqual([argv.slice(1)]);
  expect(ran.status).toBe(3);
  expect(ran.stdout).toBe("");
});
