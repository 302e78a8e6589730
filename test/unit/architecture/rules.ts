import { posix } from "node:path";
import { lineOf, scanSource } from "./scan.ts";

/** Everything that takes time, randomness, network and disk through the ports, in the order of who may use whom. */
const CORE_FOLDERS = [
  "base",
  "ports",
  "chunking",
  "crypto",
  "erasure",
  "placement",
  "upkeep",
  "policy",
  "wire",
  "segments",
  "compute",
  "membership",
  "ticks",
  "presence",
  "catalog",
  "exchange",
  "snapshot",
  "restore",
  "losses",
  "audit",
  "trust",
  "scrub",
  "repair",
  "watch",
  "schedule",
  "sweep",
  "gc",
  "locks",
  "node",
] as const;

/** Folder -> what it may import besides itself. */
const ALLOWED: Readonly<Record<string, readonly string[]>> = {
  base: [],
  ports: ["base"],
  chunking: ["base", "ports"],
  crypto: ["base"],
  erasure: ["base", "crypto"],
  placement: ["base"],
  upkeep: ["base", "placement"],
  policy: ["base"],
  wire: ["base", "crypto"],
  segments: ["base", "ports", "crypto"],
  compute: ["base", "ports", "chunking", "crypto", "segments", "erasure"],
  membership: ["base", "ports", "crypto", "wire"],
  ticks: ["base", "ports", "crypto", "wire", "membership"],
  presence: ["base", "ports", "crypto", "wire", "membership", "upkeep", "ticks"],
  catalog: ["base", "ports", "crypto", "wire"],
  exchange: ["base", "ports", "crypto", "segments", "erasure", "placement", "wire", "catalog", "membership"],
  snapshot: ["base", "ports", "chunking", "crypto", "segments", "catalog", "exchange", "placement", "wire"],
  restore: ["base", "ports", "chunking", "crypto", "segments", "catalog", "exchange", "placement", "wire"],
  losses: ["base", "ports", "crypto", "wire", "membership", "catalog", "exchange"],
  audit: ["base", "ports", "crypto", "erasure", "placement", "wire", "catalog", "exchange", "losses"],
  trust: ["base", "ports", "crypto", "wire", "membership", "upkeep", "audit"],
  scrub: ["base", "ports", "crypto", "erasure", "placement", "wire", "catalog", "membership", "exchange"],
  repair: [
    "base",
    "ports",
    "crypto",
    "erasure",
    "placement",
    "upkeep",
    "wire",
    "catalog",
    "membership",
    "exchange",
    "audit",
  ],
  watch: ["base", "ports"],
  schedule: ["base", "ports", "policy", "wire", "watch"],
  locks: ["base", "ports", "crypto", "placement", "wire", "catalog", "exchange"],
  sweep: ["base", "ports", "crypto", "placement", "upkeep", "wire", "exchange", "losses", "audit"],
  gc: ["base", "ports", "crypto", "upkeep", "wire", "exchange"],
  node: CORE_FOLDERS,
  adapters: ["base", "ports", "wire"],
  control: ["base"],
  cli: ["base", "control"],
  dashboard: ["base", "control"],
  sim: CORE_FOLDERS,
};

/** Files that may do more than their folder, and why. */
const WIDER: readonly { readonly files: RegExp; readonly also: readonly string[]; readonly why: string }[] = [
  {
    files: /^src\/adapters\/workers\//,
    also: ["chunking", "crypto", "segments", "erasure", "compute"],
    why: "worker threads run these folders' functions",
  },
  { files: /^src\/control\/(server|node-)/, also: ["node"], why: "the server half answers from the node" },
  {
    files: /^src\/cli\/(commands\/(daemon|init|join|recover)\.ts$|runtime[^/]*\.ts$)/,
    also: ["node", "adapters", "membership", "crypto", "ports"],
    why: "these run without a daemon, or are it: they make keys and put the ports together",
  },
  {
    files: /^src\/cli\/commands\/policy\.ts$/,
    also: ["policy"],
    why: "a policy file is checked where there is no daemon",
  },
  {
    files: /^sim\/daemons\//,
    also: ["adapters", "control"],
    why: "it starts real daemons, asks them as the command line does, and reads their shards from the disk",
  },
  {
    files: /^sim\/(full|coarse|calibration)\/command\.ts$/,
    also: ["adapters"],
    why: "it reads the compiled erasure code from the installed package; the simulated swarm meets none of the adapters",
  },
];

interface Ban {
  readonly pattern: RegExp;
  readonly instead: string;
}

const TIME = "the Clock port";
const RANDOM = "the Rng port";

/** Names that reach past the ports. */
const BANNED_NAMES: readonly Ban[] = [
  { pattern: /\bDate\s*\.\s*now\b/g, instead: TIME },
  { pattern: /\bnew\s+Date\s*(\(\s*\)|(?=[;,)\]]))/g, instead: TIME },
  { pattern: /\bperformance\s*\.\s*now\b/g, instead: TIME },
  { pattern: /\bprocess\s*\.\s*hrtime\b/g, instead: TIME },
  { pattern: /\b(setTimeout|setInterval|setImmediate)\b/g, instead: TIME },
  { pattern: /\bAbortSignal\s*\.\s*timeout\b/g, instead: TIME },
  { pattern: /\bMath\s*\.\s*random\b/g, instead: RANDOM },
  { pattern: /\b(randomUUID|randomBytes|randomFillSync|getRandomValues)\b/g, instead: RANDOM },
  {
    pattern: /\b(crypto|webcrypto)\s*\.\s*subtle\b/g,
    instead: "synchronous crypto: digests in parallel break replay",
  },
  { pattern: /\bprocess\s*\.\s*env\b/g, instead: "an option, read once at the edge" },
];

/** Modules that are the outside world. */
const BANNED_MODULES: readonly Ban[] = [
  { pattern: /^(node:)?fs(\/promises)?$/, instead: "the FileTree, ShardStore or Spool port" },
  { pattern: /^(node:)?(net|dgram|tls|http|https|http2|dns)(\/promises)?$/, instead: "the Network port" },
  { pattern: /^(node:)?(worker_threads|child_process|cluster)$/, instead: "the Compute port" },
  { pattern: /^(node:)?(timers(\/promises)?|perf_hooks)$/, instead: TIME },
  { pattern: /^(libp2p|@libp2p\/.*|@multiformats\/multiaddr)$/, instead: "the Network and Directory ports" },
  { pattern: /^(level|classic-level|datastore-level)$/, instead: "the MetaStore port" },
  { pattern: /^(koffi|fastify|pino)$/, instead: "a port: it belongs into adapters/, control/ or cli/" },
];

const MIDDLEWARE: Ban = {
  pattern: /\.\s*use\s*\(/g,
  instead: "a wrapped registrar: libp2p's middleware runs old handlers again with every further stream",
};
// It hands the call through to the registrar that it wraps, as the interface demands.
const MIDDLEWARE_PASSED_ON = "src/adapters/libp2p/gate.ts";

export interface Violation {
  readonly file: string;
  readonly line: number;
  readonly what: string;
}

export function describeViolation({ file, line, what }: Violation): string {
  return `${file}:${line} ${what}`;
}

/** @param file its path from the root of the repository, with slashes: `src/wire/codec.ts` */
export function checkFile(file: string, source: string): Violation[] {
  const folder = folderOf(file);
  const { imports, code } = scanSource(source);
  const violations: Violation[] = [];
  const report = (line: number, what: string) => violations.push({ file, line, what });
  for (const { specifier, line } of imports) {
    const target = specifier.startsWith(".")
      ? folderOf(posix.join(posix.dirname(file), specifier))
      : undefined;
    if (specifier.startsWith(".") && !mayImport(file, folder, target)) {
      report(line, `imports ${specifier}: ${describeAllowed(file, folder)}`);
    }
    const ban = isCore(folder) ? BANNED_MODULES.find(({ pattern }) => pattern.test(specifier)) : undefined;
    if (ban !== undefined) report(line, `imports ${specifier}; use ${ban.instead}`);
  }
  for (const { pattern, instead } of bansFor(file, folder)) {
    for (const match of code.matchAll(pattern)) {
      report(lineOf(code, match.index), `has ${match[0].trim()}; use ${instead}`);
    }
  }
  return violations.sort((a, b) => a.line - b.line);
}

function bansFor(file: string, folder: string | undefined): readonly Ban[] {
  if (isCore(folder)) return BANNED_NAMES;
  return folder === "adapters" && file !== MIDDLEWARE_PASSED_ON ? [MIDDLEWARE] : [];
}

function isCore(folder: string | undefined): boolean {
  return CORE_FOLDERS.some((core) => core === folder);
}

/** `src/wire/codec.ts` is in `wire`, `sim/clock.ts` in `sim`; anything else is in no folder of the table. */
function folderOf(file: string): string | undefined {
  const [top, second, ...rest] = file.split("/");
  if (top === "sim") return "sim";
  return top === "src" && second !== undefined && rest.length > 0 ? second : undefined;
}

function allowedFor(file: string, folder: string | undefined): readonly string[] | undefined {
  const own = folder === undefined ? undefined : ALLOWED[folder];
  if (own === undefined || folder === undefined) return undefined;
  const wider = WIDER.filter(({ files }) => files.test(file)).flatMap(({ also }) => also);
  return [folder, ...own, ...wider];
}

function mayImport(file: string, folder: string | undefined, target: string | undefined): boolean {
  return target !== undefined && allowedFor(file, folder)?.includes(target) === true;
}

function describeAllowed(file: string, folder: string | undefined): string {
  const allowed = allowedFor(file, folder);
  if (allowed === undefined || folder === undefined) return "this folder is not in the table of imports";
  const others = [...new Set(allowed)].filter((name) => name !== folder);
  return `${folder}/ may import ${others.length === 0 ? "nothing of ours" : `only ${others.join(", ")}`}`;
}
