import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { mutationsFrom } from "../../../sim/mutations/run.ts";
import { CANARY, MUTATIONS } from "../../../sim/mutations/table.ts";

const ROOT = join(import.meta.dirname, "../../..");

function read(path: string): string {
  return readFileSync(join(ROOT, path), "utf8");
}

/** Rules that the simulator's source speaks of. */
function rulesOfSource(): Set<string> {
  const files = readdirSync(join(ROOT, "sim/full"), { recursive: true, encoding: "utf8" });
  const source = files
    .filter((file) => file.endsWith(".ts"))
    .map((file) => read(join("sim/full", file)))
    .join("\n");
  const said = source.matchAll(/(?:violate\(\s*|oracle: )"([a-z-]+)"/g);
  return new Set([...said].map(([, rule = ""]) => rule));
}

function rulesOfManual(): Set<string> {
  const table = read("docs/simulator.md").split("## Rules that are checked")[1]?.split("##")[0] ?? "";
  const cells = table.split("\n").map((line) => line.split("|")[1] ?? "");
  return new Set(cells.flatMap((cell) => [...cell.matchAll(/`([a-z-]+)`/g)].map(([, rule = ""]) => rule)));
}

test("every rule is in the manual, and has a bug that must break it", () => {
  const rules = [...rulesOfSource()].sort();
  expect(rules.length).toBeGreaterThan(15);
  expect([...rulesOfManual()].sort()).toEqual(rules);
  expect([...new Set(MUTATIONS.map(({ oracle }) => oracle))].sort()).toEqual(rules);
});

test("the words that each bug exchanges are there once", () => {
  for (const { name, edits } of [CANARY, ...MUTATIONS])
    for (const { file, from } of edits)
      expect(`${name}: ${read(file).split(from).length - 1}`).toBe(`${name}: 1`);
});

test("a share begins with the canary and goes on at a place that follows from the word", () => {
  const all = [CANARY, ...MUTATIONS];
  expect(mutationsFrom(all, "")).toEqual(all);
  const starts = new Set<string>();
  for (let commit = 0; commit < 200; commit++) {
    const share = mutationsFrom(all, `commit ${commit}`);
    expect(share[0]).toBe(CANARY);
    expect(new Set(share)).toEqual(new Set(all));
    starts.add(share[1]?.name ?? "");
  }
  expect(starts.size).toBe(MUTATIONS.length);
});
