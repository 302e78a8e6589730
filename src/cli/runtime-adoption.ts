import { existsSync, mkdirSync, readFileSync, rmSync } from "node:fs";
import { rename } from "node:fs/promises";
import { join } from "node:path";
import { equalBytes } from "../base/bytes.ts";
import type { OwnerId } from "../base/ids.ts";
import { deriveOwnerKeys } from "../crypto/index.ts";
import type { IdentitySecrets } from "../node/index.ts";
import { ADOPTING, HOME_FILES, syncDirectory, writeSynced } from "./runtime-home.ts";

const STAGED = {
  root: `${ADOPTING}/owner.key`,
  entropy: `${ADOPTING}/recovery.key`,
  /** Written when the swarm has let the new owner in: from then on the rest follows, whatever happens. */
  slot: `${ADOPTING}/recovery.slot`,
} as const;
/** What is put aside: the keys of owners that this home was before, each in a directory named after the owner. */
const ASIDE = "former";
/** What `adopting` becomes in one step when it is done, to be removed. */
export const ADOPTED = "adopted";

export type OwnerSecrets = Omit<IdentitySecrets, "nodeSeed">;

/** Secrets of an adoption that was begun here before, and what the swarm's answer left. */
export function stagedAdoption(home: string): { secrets: OwnerSecrets; slot?: Uint8Array } | undefined {
  const [root, entropy, slot] = [STAGED.root, STAGED.entropy, STAGED.slot].map((name) => read(home, name));
  if (root === undefined || entropy === undefined) return undefined;
  return { secrets: { root, entropy }, ...(slot === undefined ? {} : { slot }) };
}

/**
 * Before the swarm hears of the new owner: the certificate that it signs must find its keys again after a crash, or
 * this node's key would be bound to an owner whom nobody is.
 */
export async function stageAdoption(home: string, secrets: OwnerSecrets): Promise<void> {
  mkdirSync(join(home, ADOPTING), { recursive: true, mode: 0o700 });
  await writeSynced(home, STAGED.entropy, secrets.entropy);
  await writeSynced(home, STAGED.root, secrets.root);
  await syncDirectory(home);
}

export async function stageAdmission(home: string, slot: Uint8Array): Promise<void> {
  await writeSynced(home, STAGED.slot, slot);
}

/** The swarm has refused: the home is again what it was. */
export function dropStaged(home: string): void {
  rmSync(join(home, ADOPTING), { recursive: true, force: true });
}

/** Puts the old owner's keys aside and the new one's in their place. Run again after a crash, it ends the same. */
export async function installKeys(home: string, secrets: OwnerSecrets, slot: Uint8Array): Promise<void> {
  const root = read(home, HOME_FILES.root);
  if (root !== undefined && !equalBytes(root, secrets.root))
    await putAside(home, deriveOwnerKeys(root).owner);
  await writeSynced(home, HOME_FILES.slot, slot);
  rmSync(join(home, HOME_FILES.administratorSeed), { force: true });
  // Last, because it says whose keys are there.
  await writeSynced(home, HOME_FILES.root, secrets.root);
}

async function putAside(home: string, owner: OwnerId): Promise<void> {
  const directory = `${ASIDE}/${owner.slice(0, 16)}`;
  mkdirSync(join(home, directory), { recursive: true, mode: 0o700 });
  await syncDirectory(join(home, ASIDE));
  await syncDirectory(home);
  for (const name of [HOME_FILES.root, HOME_FILES.slot, HOME_FILES.administratorSeed]) {
    const bytes = read(home, name);
    // What is there already was put there before a crash, when it was still the old owner's.
    const aside = `${directory}/${name.slice(name.indexOf("/") + 1)}`;
    if (bytes !== undefined && !existsSync(join(home, aside))) await writeSynced(home, aside, bytes);
  }
}

/** The last step: the home is a node's again. The recovery key's copy goes with it. */
export async function endAdoption(home: string): Promise<void> {
  rmSync(join(home, ADOPTED), { recursive: true, force: true });
  if (existsSync(join(home, ADOPTING))) {
    await rename(join(home, ADOPTING), join(home, ADOPTED));
    await syncDirectory(home);
  }
  rmSync(join(home, ADOPTED), { recursive: true, force: true });
}

function read(home: string, name: string): Uint8Array | undefined {
  const path = join(home, name);
  return existsSync(path) ? new Uint8Array(readFileSync(path)) : undefined;
}
