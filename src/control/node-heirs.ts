import { Fault } from "../base/fault.ts";
import type { Node } from "../node/index.ts";
import type { CommandContext } from "./api.ts";
import * as api from "./heirs-api.ts";
import { iso } from "./node-json.ts";
import type { Alert } from "./results.ts";

export async function drainHandler(
  node: Node,
  { action, wait }: api.DrainRequest,
  context: CommandContext,
): Promise<api.DrainResult> {
  if (node.isGuest)
    throw new Fault({ code: "NOT_ALLOWED", reason: "a guest of the swarm is nobody's holder" });
  const { drainer } = node.heirship;
  if (action !== "status") node.requireUnfenced();
  if (action === "begin") await drainer.begin();
  if (action === "cancel") await drainer.cancel();
  if (wait) await follow(node, context);
  return drainResultOf(node);
}

/** Until there is nothing to wait for. Whoever leaves earlier leaves the node draining. */
async function follow(node: Node, { signal, progress }: CommandContext): Promise<void> {
  const { drainer } = node.heirship;
  for (;;) {
    signal.throwIfAborted();
    let change = (): void => {};
    const changed = new Promise<void>((resolve) => {
      change = resolve;
    });
    const unsubscribe = drainer.onChange(change);
    signal.addEventListener("abort", change, { once: true });
    try {
      const { state, bytesMoved, bytesLeft } = await drainer.status();
      if (state !== "draining") return;
      progress({ type: "progress", phase: "drain", bytes: bytesMoved, bytesTotal: bytesMoved + bytesLeft });
      await changed;
    } finally {
      unsubscribe();
      signal.removeEventListener("abort", change);
    }
  }
}

async function drainResultOf(node: Node): Promise<api.DrainResult> {
  const { forecastMs, stuck, ...status } = await node.heirship.drainer.status();
  const expectedMs = forecastMs === undefined ? undefined : node.ports.clock.wallMs() + forecastMs;
  return {
    ...status,
    ...(expectedMs === undefined || status.state !== "draining" ? {} : { expectedAt: iso(expectedMs) }),
    stuck: stuck.slice(0, api.ROWS_LISTED_MAX).map(({ owner, row, why }) => ({ ownerId: owner, row, why })),
  };
}

export async function heirsStandingOf(node: Node): Promise<{ heirs?: api.HeirsStanding; alerts: Alert[] }> {
  if (node.isGuest) return { alerts: [] };
  const { heirs, book, door } = node.heirship;
  const { orphans, queue, stuck, waiting, counts } = heirs.status();
  return {
    heirs: {
      ...counts,
      owners: orphans.slice(0, api.ROWS_LISTED_MAX),
      queued: heirs.queued,
      queue: queue.map(({ owner, row, margin, slots, turnMs }) => ({
        ...{ ownerId: owner, row, margin, slots: slots.map(({ slot, why }) => ({ slot, why })) },
        turnAt: iso(turnMs),
      })),
      stuck: stuck.map(({ owner, row, margin, why }) => ({ ownerId: owner, row, margin, why })),
      ...(waiting === undefined ? {} : { waiting }),
      recordsRefused: book.refused,
      claimsRefused: door.refused,
      surplus: surplusOf(node),
    },
    alerts: [...(await drainAlerts(node)), ...stuckAlerts(stuck)],
  };
}

function surplusOf({ sweep }: Node): NonNullable<api.HeirsStanding["surplus"]> {
  const { surplus, dropped, droppedBytes, kept } = sweep.sweeper.status();
  return {
    ...{ copies: surplus, dropped, droppedBytes, promised: sweep.promises.count },
    kept: [...kept].map(([why, copies]) => ({ why, copies })),
  };
}

function stuckAlerts(stuck: readonly { readonly owner: string; readonly margin: number }[]): Alert[] {
  const [worst] = [...stuck].sort((a, b) => a.margin - b.margin);
  if (worst === undefined) return [];
  const owners = new Set(stuck.map(({ owner }) => owner)).size;
  return [
    {
      code: "heirs-stuck",
      text: `${stuck.length} row(s) of ${owners} owner(s) that only holders can repair, since the node that wrote them is away or was replaced, cannot be repaired now; the worst can lose ${Math.max(0, worst.margin)} more. "cairn status --json" says why.`,
    },
  ];
}

async function drainAlerts(node: Node): Promise<Alert[]> {
  if (!node.presence.own.draining) return [];
  const { state, shardsLeft, shardsUnknown } = await node.heirship.drainer.status();
  switch (state) {
    case "none":
      return [];
    case "draining":
      return [
        {
          code: "draining",
          text: `This node is leaving: ${shardsLeft} shard(s) are still to be moved. It must stay on until then.`,
        },
      ];
    case "stuck":
      return [
        {
          code: "drain-stuck",
          text: `This node is leaving, and ${shardsLeft + shardsUnknown} shard(s) have nowhere to go: do not switch it off. "cairn drain --status" says why.`,
        },
      ];
    case "done":
      return [
        {
          code: "drained",
          text: "Nobody looks for shards here any more: this node may be switched off, and removed.",
        },
      ];
  }
}
