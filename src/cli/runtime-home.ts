import { randomUUID } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statfsSync } from "node:fs";
import { open, rename } from "node:fs/promises";
import { dirname, join } from "node:path";
import { z } from "zod";
import { isCairnHome } from "../adapters/home/index.ts";
import { Fault, type FaultCode, messageOf } from "../base/fault.ts";
import { SEED_BYTES } from "../crypto/sign.ts";

const settings = z
  .object({
    version: z.literal(1),
    name: z.string().max(255),
    host: z.string().max(255),
    /** Multiaddrs, ports resolved. */
    listen: z.array(z.string().max(300)).min(1).max(8),
    /** Multiaddrs that others are told instead of the interfaces' own: a forwarded port, a name. */
    announce: z.array(z.string().max(300)).max(8).exactOptional(),
    /** Where members were found when this home was made; the node's own address book takes over from there. */
    firstPeers: z
      .array(z.object({ peer: z.string().max(100), addresses: z.array(z.string().max(300)).max(16) }))
      .max(256),
    /** Recovered to look and restore only: no member, and the node's key is the recovery identity's. */
    readOnly: z.boolean().exactOptional(),
    /** What this node keeps for others. */
    capacityBytes: z.int().nonnegative(),
    /** Room of the disk that is left alone; by default 1 GiB or 2 %, whichever is more. */
    reserveBytes: z.int().nonnegative().exactOptional(),
    /** By default a tenth of the disk. */
    spoolMaxBytes: z.int().nonnegative().exactOptional(),
    /** How others' shards are read again. */
    scrub: z
      .object({
        /** Every byte within so many days; by default 30. */
        periodDays: z.number().positive().max(3650).exactOptional(),
        /** Of the disk's time, at most; by default 0.1. */
        diskShare: z.number().min(0.001).max(1).exactOptional(),
      })
      .strict()
      .exactOptional(),
    /** Clocks and bounds of policy; see docs/operating.md. What is in it is checked when the daemon starts. */
    upkeep: z.record(z.string(), z.unknown()).exactOptional(),
  })
  .strict();
/** `settings.json` of a home: what an operator may change while the daemon is stopped. */
export type HomeSettings = z.output<typeof settings>;

/** The secrets of a home, files of 0600 in a directory of 0700. */
export interface HomeKeys {
  readonly nodeSeed: Uint8Array;
  /** The owner's root. */
  readonly root: Uint8Array;
  readonly administratorSeed?: Uint8Array;
  /** The slot record that the recovery key opens; no secret, but kept beside them. */
  readonly slot: Uint8Array;
}

/** Answers after which the swarm surely has not taken the certificate. */
export const JOIN_REFUSALS: readonly FaultCode[] = [
  "NOT_ALLOWED",
  "NOT_A_MEMBER",
  "TOKEN_INVALID",
  "TOKEN_EXPIRED",
  "TOKEN_USED",
];

/** The directory of an adoption that was begun and not finished: the home is nobody's until it is. */
export const ADOPTING = "adopting";

export const HOME_FILES = {
  settings: "settings.json",
  nodeSeed: "keys/node.key",
  root: "keys/owner.key",
  administratorSeed: "keys/administrator.key",
  slot: "keys/recovery.slot",
} as const;

/** The directory of a join that was begun: with what it is there, the next one is the same node. */
export const JOINING = "joining";

/** What init, join and recover make before the marker; a home without marker never was one. */
const PARTS = [
  "settings.json",
  "keys",
  "meta.level",
  "libp2p",
  "shards",
  "spool",
  "lock",
  "control.sock",
  JOINING,
];
/** What a crash leaves of a file that was being written in its place. */
const UNFINISHED = /^(settings\.json|cairn-home)\.[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

export const homePaths = (home: string) => ({
  meta: join(home, "meta.level"),
  libp2p: join(home, "libp2p"),
  shards: join(home, "shards"),
  spool: join(home, "spool"),
  policy: join(home, "policy.yaml"),
});

/** Makes the directory for a new home. Throws `HOME_EXISTS`, and `USAGE` where something else lies in it. */
export function prepareHome(home: string): void {
  mkdirSync(home, { recursive: true, mode: 0o700 });
  if (isCairnHome(home)) throw new Fault({ code: "HOME_EXISTS", home });
  const foreign = readdirSync(home).filter((name) => !PARTS.includes(name) && !UNFINISHED.test(name));
  if (foreign.length > 0) {
    throw new Fault({
      code: "USAGE",
      reason: `${home} is not empty ("${foreign[0]}"); choose another with --home.`,
    });
  }
}

/** Clears what an interrupted init left, but for `kept`; to be called under the home's lock. */
export function clearLeftovers(home: string, kept: readonly string[]): void {
  const left = [...PARTS, ...readdirSync(home).filter((name) => UNFINISHED.test(name))];
  for (const name of left)
    if (name !== "lock" && !kept.includes(name)) rmSync(join(home, name), { recursive: true, force: true });
  const { policy: _, ...directories } = homePaths(home);
  for (const path of Object.values(directories)) mkdirSync(path, { recursive: true, mode: 0o700 });
  mkdirSync(join(home, "keys"), { recursive: true, mode: 0o700 });
}

/** Writes settings and keys: all of a home but the marker that makes it one. */
export async function fillHome(
  home: string,
  content: { settings: HomeSettings; keys: HomeKeys },
): Promise<void> {
  const { nodeSeed, root, administratorSeed, slot } = content.keys;
  await writeSynced(home, HOME_FILES.nodeSeed, nodeSeed);
  await writeSynced(home, HOME_FILES.root, root);
  if (administratorSeed !== undefined)
    await writeSynced(home, HOME_FILES.administratorSeed, administratorSeed);
  await writeSynced(home, HOME_FILES.slot, slot);
  await writeSettings(home, content.settings);
}

export async function writeAdministratorKey(home: string, seed: Uint8Array): Promise<void> {
  await writeSynced(home, HOME_FILES.administratorSeed, seed);
}

export async function writeSettings(home: string, value: HomeSettings): Promise<void> {
  await writeSynced(
    home,
    HOME_FILES.settings,
    Buffer.from(`${JSON.stringify(settings.parse(value), null, 2)}\n`),
  );
}

/** Throws `HOME_MISSING`, `FORMAT_INVALID`, and `NOT_ALLOWED` where an adoption was begun. */
export function readHome(home: string): { settings: HomeSettings; keys: HomeKeys } {
  if (!existsSync(home) || !isCairnHome(home)) throw new Fault({ code: "HOME_MISSING", home });
  if (existsSync(join(home, ADOPTING))) {
    const reason =
      'this home began to become a node of its own and has not finished; run "cairn adopt TOKEN" again';
    throw new Fault({ code: "NOT_ALLOWED", reason });
  }
  const administrator = join(home, HOME_FILES.administratorSeed);
  return {
    settings: readSettings(home),
    keys: {
      nodeSeed: readKey(home, HOME_FILES.nodeSeed),
      root: readKey(home, HOME_FILES.root),
      slot: readFile(home, HOME_FILES.slot),
      ...(existsSync(administrator)
        ? { administratorSeed: readKey(home, HOME_FILES.administratorSeed) }
        : {}),
    },
  };
}

/** What `cairn adopt` keeps of a home. Throws `HOME_MISSING`, `FORMAT_INVALID`. */
export function readHomeToAdopt(home: string): { settings: HomeSettings; nodeSeed: Uint8Array } {
  if (!existsSync(home) || !isCairnHome(home)) throw new Fault({ code: "HOME_MISSING", home });
  return { settings: readSettings(home), nodeSeed: readKey(home, HOME_FILES.nodeSeed) };
}

function readSettings(home: string): HomeSettings {
  try {
    return settings.parse(JSON.parse(readFile(home, HOME_FILES.settings).toString("utf8")));
  } catch (error) {
    if (error instanceof Fault) throw error;
    throw new Fault({
      code: "FORMAT_INVALID",
      what: join(home, HOME_FILES.settings),
      reason: messageOf(error),
    });
  }
}

function readKey(home: string, name: string): Uint8Array {
  const bytes = readFile(home, name);
  if (bytes.length === SEED_BYTES) return new Uint8Array(bytes);
  throw new Fault({
    code: "FORMAT_INVALID",
    what: join(home, name),
    reason: `${bytes.length} bytes instead of 32`,
  });
}

function readFile(home: string, name: string): Buffer {
  try {
    return readFileSync(join(home, name));
  } catch (error) {
    throw new Fault(
      { code: "DISK_FAILED", where: join(home, name), errno: messageOf(error) },
      { cause: error },
    );
  }
}

export async function writeSynced(home: string, name: string, bytes: Uint8Array): Promise<void> {
  const path = join(home, name);
  const temporary = `${path}.${randomUUID()}`;
  const file = await open(temporary, "wx", 0o600);
  try {
    await file.writeFile(bytes);
    await file.sync();
  } finally {
    await file.close();
  }
  await rename(temporary, path);
  await syncDirectory(dirname(path));
}

export async function syncDirectory(path: string): Promise<void> {
  const directory = await open(path, "r");
  await directory.sync().finally(() => directory.close());
}

/** What a node offers when nobody says: half of what is free, the rest being the machine's own. */
export function defaultCapacity(home: string): number {
  const { bavail, bsize } = statfsSync(home);
  return Math.floor((bavail * bsize) / 2);
}
