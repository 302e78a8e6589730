import { existsSync, mkdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { markHome } from "../adapters/home/index.ts";
import type { IdentitySecrets } from "../node/index.ts";
import { ADOPTED } from "./runtime-adoption.ts";
import { JOINING, syncDirectory, writeSynced } from "./runtime-home.ts";

const STAGED = {
  nodeSeed: `${JOINING}/node.key`,
  root: `${JOINING}/owner.key`,
  entropy: `${JOINING}/recovery.key`,
} as const;

/** Secrets of a join that was begun here before; all of them, or none. */
export function stagedJoin(home: string): IdentitySecrets | undefined {
  const [nodeSeed, root, entropy] = [STAGED.nodeSeed, STAGED.root, STAGED.entropy].map((name) => {
    const path = join(home, name);
    return existsSync(path) ? new Uint8Array(readFileSync(path)) : undefined;
  });
  if (nodeSeed === undefined || root === undefined || entropy === undefined) return undefined;
  return { nodeSeed, root, entropy };
}

/**
 * Before the swarm hears of the new node: a use of the token is gone with the certificate, and after a crash, or an answer
 * that never came, only the same keys get the same one.
 */
export async function stageJoin(home: string, secrets: IdentitySecrets): Promise<void> {
  mkdirSync(join(home, JOINING), { recursive: true, mode: 0o700 });
  await writeSynced(home, STAGED.nodeSeed, secrets.nodeSeed);
  await writeSynced(home, STAGED.root, secrets.root);
  await writeSynced(home, STAGED.entropy, secrets.entropy);
  await syncDirectory(home);
}

/** The swarm has refused: nothing is bound to these keys. */
export function dropJoin(home: string): void {
  rmSync(join(home, JOINING), { recursive: true, force: true });
}

/** The last step of making a home, when its recovery key has been handed over. Under the home's lock. */
export function finishHome(home: string): void {
  markHome(home);
  dropHandedOver(home);
}

/** Copies of recovery keys that a crash right after the last step of a join or an adoption has left. */
export function dropHandedOver(home: string): void {
  for (const name of [JOINING, ADOPTED]) rmSync(join(home, name), { recursive: true, force: true });
}
