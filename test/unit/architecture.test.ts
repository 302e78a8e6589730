import { readdirSync, readFileSync } from "node:fs";
import { join, relative, sep } from "node:path";
import { describe, expect, test } from "vitest";
import { checkFile, describeViolation } from "./architecture/rules.ts";
import { scanSource } from "./architecture/scan.ts";

const ROOT = join(import.meta.dirname, "../..");

function sourcesBelow(folder: string): string[] {
  return readdirSync(join(ROOT, folder), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && entry.name.endsWith(".ts"))
    .map((entry) => relative(ROOT, join(entry.parentPath, entry.name)).split(sep).join("/"))
    .sort();
}

describe("the shape of the whole", () => {
  const files = [...sourcesBelow("src"), ...sourcesBelow("sim")];

  test("there is something to check", () => {
    expect(files).toContain("src/base/ids.ts");
    expect(files.length).toBeGreaterThan(50);
  });

  test("who imports whom, and nobody reaches past the ports", () => {
    const violations = files.flatMap((file) => checkFile(file, readFileSync(join(ROOT, file), "utf8")));
    expect(violations.map(describeViolation).join("\n")).toBe("");
  });
});

describe("the check can fail", () => {
  const of = (file: string, source: string) => checkFile(file, source).map(describeViolation);

  test.each([
    ["src/base/a.ts", 'import { x } from "../ports/clock.ts";', "base/ may import nothing of ours"],
    ["src/placement/a.ts", 'import type { X } from "../crypto/hash.ts";', "placement/ may import only base"],
    ["src/crypto/a.ts", 'export * from "../wire/codec.ts";', "crypto/ may import only base"],
    ["src/wire/a.ts", 'import "../ports/index.ts";', "wire/ may import only base, crypto"],
    ["src/segments/a.ts", 'const x = await import("../erasure/index.ts");', "segments/ may import only"],
    ["src/adapters/store/a.ts", 'import { x } from "../../chunking/index.ts";', "adapters/ may import only"],
    ["src/adapters/libp2p/a.ts", 'import { x } from "../../crypto/hash.ts";', "adapters/ may import only"],
    ["src/control/client.ts", 'import { x } from "../node/index.ts";', "control/ may import only base"],
    ["src/cli/commands/snapshot.ts", 'import { x } from "../../node/index.ts";', "cli/ may import only"],
    ["src/cli/commands/daemon.ts", 'import { x } from "../../wire/codec.ts";', "cli/ may import only"],
    ["src/snapshot/a.ts", 'import {\n  x,\n} from "../membership/index.ts";', "snapshot/ may import only"],
    ["src/node/a.ts", 'import { x } from "../adapters/system.ts";', "node/ may import only"],
    ["src/node/a.ts", 'import { x } from "../../sim/clock.ts";', "node/ may import only"],
    ["sim/a.ts", 'import { x } from "../src/adapters/system.ts";', "sim/ may import only"],
    ["sim/deep/a.ts", 'import { x } from "../../src/control/api.ts";', "sim/ may import only"],
    ["src/wire/a.ts", 'import { x } from "../../test/unit/x.ts";', "wire/ may import only"],
    ["src/new/a.ts", 'import { x } from "../base/ids.ts";', "not in the table"],
    ["src/a.ts", 'import { x } from "./base/ids.ts";', "not in the table"],
  ])("import in %s: %s", (file, source, expected) => {
    const found = of(file, source);
    expect(found).toHaveLength(1);
    expect(found[0]).toContain(`${file}:`);
    expect(found[0]).toContain(expected);
  });

  test.each([
    "Date.now()",
    "new Date()",
    "new Date().toISOString()",
    "performance.now()",
    "process.hrtime.bigint()",
    "setTimeout(f, 1)",
    "globalThis.setInterval(f, 1)",
    "setImmediate(f)",
    "AbortSignal.timeout(5)",
    "Math.random()",
    "crypto.randomUUID()",
    "randomBytes(32)",
    "crypto.getRandomValues(x)",
    "crypto.subtle.digest(x)",
    "webcrypto.subtle",
    "process.env['HOME']",
    `\`\${Date.now()}\``,
    "/'/.test(x) && Math.random()",
  ])("%s in the core", (expression) => {
    const source = `// one line before\nconst value = ${expression};\n`;
    expect(of("src/membership/a.ts", source)).toEqual([
      expect.stringMatching(/^src\/membership\/a\.ts:2 has /),
    ]);
    expect(of("src/adapters/a.ts", source)).toEqual([]);
    expect(of("src/cli/a.ts", source)).toEqual([]);
  });

  test.each([
    "node:fs",
    "node:fs/promises",
    "fs",
    "node:net",
    "node:worker_threads",
    "node:timers/promises",
    "node:child_process",
    "libp2p",
    "@libp2p/tcp",
    "level",
    "koffi",
  ])("module %s in the core", (module) => {
    const found = of("src/exchange/a.ts", `import { x } from "${module}";`);
    expect(found).toEqual([expect.stringContaining(`src/exchange/a.ts:1 imports ${module}; use `)]);
    expect(of("src/adapters/a.ts", `import { x } from "${module}";`)).toEqual([]);
  });

  test("libp2p's middleware in adapters", () => {
    expect(of("src/adapters/libp2p/node.ts", "await node\n  .use('/x', f);")).toEqual([
      expect.stringContaining("src/adapters/libp2p/node.ts:2 has .use(; use a wrapped registrar"),
    ]);
  });
});

describe("the check lets pass what it should", () => {
  test.each([
    ["src/wire/a.ts", 'import { x } from "../crypto/signed.ts";'],
    ["src/erasure/a.ts", 'import { x } from "../crypto/hash.ts";'],
    ["src/adapters/workers/a.ts", 'import { x } from "../../compute/index.ts";'],
    ["src/cli/commands/init.ts", 'import { x } from "../../adapters/system.ts";'],
    ["src/cli/commands/recover.ts", 'import { x } from "../../membership/index.ts";'],
    ["src/cli/runtime-daemon.ts", 'import { x } from "../node/index.ts";'],
    ["src/control/server.ts", 'import { x } from "../node/index.ts";'],
    ["src/control/server/routes.ts", 'import { x } from "../../node/index.ts";'],
    ["src/restore/a.ts", 'import { x } from "../placement/index.ts";'],
    ["sim/world/a.ts", 'import { x } from "../../src/scrub/index.ts";'],
    ["src/node/a.ts", 'import { hash } from "node:crypto";'],
    ["src/node/a.ts", "// Date.now() is banned here\nconst a = 1;"],
    ["src/node/a.ts", "/* import { x } from '../cli/a.ts' */"],
    ["src/node/a.ts", 'const text = "use setTimeout or Math.random()";'],
    ["src/node/a.ts", `const text = \`import x from '../cli/a.ts'; Date.now() \${1}\`;`],
    ["src/node/a.ts", 'const quote = /["\'`]/; const text = "Math.random()";'],
    ["src/node/a.ts", "const day = new Date(0); const half = a / b; // Math.random() / 2"],
  ])("%s: %s", (file, source) => {
    expect(checkFile(file, source).map(describeViolation)).toEqual([]);
  });

  test("the scanner finds every kind of import, with its line", () => {
    const source = [
      'import a from "./a.ts";',
      "import type { B } from './b.ts';",
      "import {",
      "  c,",
      '} from "./c.ts";',
      'import "./d.ts";',
      'export { e } from "./e.ts";',
      'const f = import("./f.ts");',
      'const g = createRequire(x); require("./g.ts");',
      `const text = \`\${(await import('./h.ts')).x + \`}\` } import '../no.ts'\`;`,
    ].join("\n");
    expect(scanSource(source).imports).toEqual([
      { specifier: "./a.ts", line: 1 },
      { specifier: "./b.ts", line: 2 },
      { specifier: "./c.ts", line: 5 },
      { specifier: "./d.ts", line: 6 },
      { specifier: "./e.ts", line: 7 },
      { specifier: "./f.ts", line: 8 },
      { specifier: "./g.ts", line: 9 },
      { specifier: "./h.ts", line: 10 },
    ]);
  });
});
