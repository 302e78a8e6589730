import { join } from "node:path";
import { z } from "zod";
import { must } from "../src/base/assert.ts";
import { inviteResult, peerInfo, statusResult } from "../src/control/results.ts";
import { DemoNode } from "./node.ts";
import type { Processes } from "./processes.ts";

const SITES = ["harbour", "market", "station"] as const;
const NODES_PER_SITE = 3;
const SEEN_MS = 60_000;
const POLL_MS = 200;

const made = z.object({ peerId: z.string() });

/** Nine nodes at three sites; the first is the owner whose files are saved. */
export class DemoSwarm {
  readonly nodes: readonly DemoNode[];
  /** The owner's recovery key, kept where a fire at the owner's does not reach it. */
  readonly keyFile: string;
  readonly #folder: string;
  readonly #processes: Processes;

  constructor(processes: Processes, folder: string) {
    this.#processes = processes;
    this.#folder = folder;
    this.keyFile = join(folder, "owner.recovery-key");
    this.nodes = SITES.flatMap((site) =>
      Array.from({ length: NODES_PER_SITE }, (_, i) => this.machine(`${site}-${i + 1}`, site)),
    );
  }

  get owner(): DemoNode {
    return must(this.nodes[0], "owner");
  }

  /** All but the owner: the owner's machine keeps nothing of its own. */
  get holders(): readonly DemoNode[] {
    return this.nodes.slice(1);
  }

  get sites(): readonly string[] {
    return SITES;
  }

  machine(name: string, site: string): DemoNode {
    return new DemoNode(this.#processes, this.#folder, { name, site });
  }

  /** One `init`, eight `invite`d `join`s, nine daemons; resolves when the owner sees everybody alive. */
  async found(): Promise<void> {
    const { owner } = this;
    await owner.make(["init", "--site", owner.site, "--recovery-key-out", this.keyFile], made);
    await owner.start();
    await Promise.all(
      SITES.map(async (site) => {
        const uses = this.holders.filter((node) => node.site === site).length;
        const invite = ["invite", "--site", site, "--uses", String(uses)];
        const { token } = (await owner.ask(invite, inviteResult)).value;
        for (const node of this.holders) if (node.site === site) await this.#join(node, token);
      }),
    );
    await this.#allSeen();
  }

  async #join(node: DemoNode, token: string): Promise<void> {
    await node.make(["join", token, "--recovery-key-out", `${node.home}.recovery-key`], made);
    await node.start();
  }

  async #allSeen(): Promise<void> {
    const untilMs = performance.now() + SEEN_MS;
    for (;;) {
      const peers = (await this.owner.ask(["peers"], z.array(peerInfo))).value;
      const alive = peers.filter(({ state }) => state === "alive").length;
      if (alive === this.holders.length) return;
      if (performance.now() > untilMs)
        throw new Error(`the owner sees only ${alive} of ${this.holders.length} other nodes`);
      await new Promise((resolve) => setTimeout(resolve, POLL_MS));
    }
  }

  /** What each living holder keeps for others. */
  async holdings(): Promise<Holding[]> {
    const running = this.holders.filter((node) => node.isRunning);
    return await Promise.all(
      running.map(async (node) => {
        const { storage } = (await node.ask(["status"], statusResult)).value;
        return { node, shards: storage.shards, bytes: storage.usedBytes };
      }),
    );
  }
}

export interface Holding {
  readonly node: DemoNode;
  readonly shards: number;
  readonly bytes: number;
}
