import { existsSync, readdirSync, readFileSync } from "node:fs";
import { dirname, join, normalize } from "node:path";
import { describe, expect, test } from "vitest";
import { EXIT_MEANINGS } from "../../src/cli/exit-codes.ts";

// Documents that name things: what they name is there, and what has to be named is.

const ROOT = join(import.meta.dirname, "../..");
const read = (file: string): string => readFileSync(join(ROOT, file), "utf8");

function filesBelow(folder: string, ending: string): string[] {
  return readdirSync(join(ROOT, folder), { recursive: true, encoding: "utf8" })
    .filter((name) => name.endsWith(ending))
    .map((name) => `${folder}/${name}`);
}

const documents = ["ARCHITECTURE.md", "CHANGELOG.md", "CONTRIBUTING.md", ...filesBelow("docs", ".md")];

/** Events that the daemon logs above the level `debug`, wherever the name stands in the call. */
function events(source: string): string[] {
  const calls = source.matchAll(/\blog\s*\.\s*(?:info|warn|error)\(\s*([^,)]*)/gi);
  return [...calls].flatMap(([, argument = ""]) =>
    [...argument.matchAll(/"([a-z.-]+)"/g)].map(([, name = ""]) => name),
  );
}

describe("documents", () => {
  test.each(documents)("links in %s lead somewhere", (file) => {
    const targets = [...read(file).matchAll(/\]\(([^)#:]+)\)/g)].map(([, target = ""]) => target);
    const missing = targets.filter(
      (target) => !existsSync(join(ROOT, normalize(join(dirname(file), target)))),
    );
    expect(missing).toEqual([]);
  });

  test.each(documents)("files named in %s exist", (file) => {
    const named = [...read(file).matchAll(/`((?:[\w-]+\/)+[\w.-]+\.ts)`/g)].map(([, name = ""]) => name);
    const missing = named.filter(
      (name) => !existsSync(join(ROOT, name)) && !existsSync(join(ROOT, "src", name)),
    );
    expect(missing).toEqual([]);
  });

  test("claims of the threat model name tests that exist", () => {
    const model = read("docs/threat-model.md");
    const tests = filesBelow("test", ".ts").map((file) => ({ file, source: read(file) }));
    const named = tests.filter(({ file }) => {
      const [name = ""] = (file.split("/").at(-1) ?? "").split(".");
      return model.includes(`\`${name}`) || model.includes(`/${name}.`);
    });
    const unknown = [...model.matchAll(/"([^"]+)"/g)]
      .map(([, quoted = ""]) => quoted.replace(/\s+/g, " "))
      .filter((quoted) => named.every(({ source }) => !source.includes(quoted)));
    expect(unknown).toEqual([]);
  });

  test("every record of a decision is in their list", () => {
    const list = read("docs/decisions/README.md");
    const records = filesBelow("docs/decisions", ".md").map((file) => file.split("/").at(-1) ?? "");
    expect(records.filter((name) => name !== "README.md" && !list.includes(`(${name})`))).toEqual([]);
  });

  test("every section of the format is in its list", () => {
    const list = read("docs/format.md");
    expect(
      filesBelow("docs/format", ".md").filter((file) => !list.includes(`(${file.slice("docs/".length)})`)),
    ).toEqual([]);
  });

  test("every event that may wake somebody is explained", () => {
    const logged = new Set(filesBelow("src", ".ts").flatMap((file) => events(read(file))));
    expect(logged.size).toBeGreaterThan(30);
    const explained = read("docs/operating.md");
    expect([...logged].filter((event) => !explained.includes(`\`${event}\``))).toEqual([]);
  });

  test("every exit status is explained", () => {
    const explained = read("docs/operating.md");
    expect(Object.keys(EXIT_MEANINGS).filter((status) => !explained.includes(`| ${status} |`))).toEqual([]);
  });
});
