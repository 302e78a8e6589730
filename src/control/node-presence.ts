import { Fault } from "../base/fault.ts";
import type { PeerId } from "../base/ids.ts";
import type { Node } from "../node/index.ts";
import { iso } from "./node-json.ts";
import * as api from "./presence-api.ts";
import type { Alert } from "./results.ts";

type NodeLiveness = NonNullable<ReturnType<ReturnType<Node["presence"]["nodes"]>["get"]>>;

/** What `status` says of who is up, and what somebody should look into. Of a guest nothing is known. */
export function presenceStanding(node: Node): { presence?: api.PresenceInfo; alerts: Alert[] } {
  const { presence } = node;
  const nodes = presence.nodes();
  if (nodes.size === 0) return { alerts: [] };
  const states = { alive: 0, draining: 0, unreachable: 0, absent: 0, lost: 0 };
  for (const { state } of nodes.values()) states[state]++;
  const away = [...nodes].filter(([, { state }]) => state !== "alive" && state !== "draining");
  const { outageUntilMs } = presence.own;
  return {
    presence: {
      states,
      away: away.slice(0, api.AWAY_LISTED_MAX).map(([peer, liveness]) => ({
        peerId: peer,
        ...nameFields(node, peer),
        ...livenessJson(liveness),
      })),
      weather: weatherJson(node),
      ...(outageUntilMs === undefined ? {} : { maintenanceUntil: iso(outageUntilMs) }),
      events: presence.counts(),
    },
    alerts: [...weatherAlerts(node), ...awayAlerts(node, away), ...ownAlerts(outageUntilMs)],
  };
}

export function livenessOf(node: Node, peer: PeerId): { liveness?: api.LivenessInfo } {
  const liveness = node.presence.nodes().get(peer);
  return liveness === undefined ? {} : { liveness: livenessJson(liveness) };
}

function livenessJson({ state, sinceMs, plannedUntilMs, isDeclaredLost }: NodeLiveness): api.LivenessInfo {
  return {
    state,
    since: iso(sinceMs),
    ...(plannedUntilMs === undefined ? {} : { plannedUntil: iso(plannedUntilMs) }),
    ...(isDeclaredLost === undefined ? {} : { declaredLost: isDeclaredLost }),
  };
}

function nameFields(node: Node, peer: PeerId): { name?: string } {
  const name = node.roster.member(peer)?.name;
  return name === undefined ? {} : { name };
}

function weatherJson(node: Node): api.WeatherInfo {
  const weather = node.presence.weather();
  switch (weather.kind) {
    case "calm":
      return { kind: "calm" };
    case "frozen":
      return { kind: "frozen", until: iso(weather.untilMs), gone: weather.gone.length };
    case "cut-off":
      return node.presence.isSettled ? weather : { ...weather, isListening: true };
  }
}

/** A node that has just begun to listen has heard nobody yet, which is nobody's fault. */
function weatherAlerts(node: Node): Alert[] {
  const weather = node.presence.weather();
  if (weather.kind === "frozen") {
    return [
      {
        code: "frozen",
        text: `${weather.gone.length} members fell silent at about the same time: a network failed rather than machines. Nothing that can wait is moved until they are back, or until ${iso(weather.untilMs)}.`,
      },
    ];
  }
  if (weather.kind === "calm" || !node.presence.isSettled) return [];
  return [
    {
      code: "cut-off",
      text: `This node hears only ${weather.seen} of ${weather.of} members: it is the one that is away. Nothing is repaired from here until it hears most of them.`,
    },
  ];
}

const NAMED_MAX = 5;

function awayAlerts(node: Node, away: readonly [PeerId, NodeLiveness][]): Alert[] {
  const absent = away.filter(([, { state }]) => state === "absent");
  if (absent.length === 0) return [];
  const named = absent.slice(0, NAMED_MAX).map(([peer, { sinceMs, plannedUntilMs }]) => {
    const planned = plannedUntilMs === undefined ? "" : ` (announced until ${iso(plannedUntilMs)})`;
    return `${node.roster.member(peer)?.name ?? peer} since ${iso(sinceMs)}${planned}`;
  });
  const more = absent.length > NAMED_MAX ? ` and ${absent.length - NAMED_MAX} more` : "";
  return [{ code: "nodes-absent", text: `Away, as enough members say: ${named.join(", ")}${more}.` }];
}

function ownAlerts(outageUntilMs: number | undefined): Alert[] {
  if (outageUntilMs === undefined) return [];
  return [
    {
      code: "maintenance",
      text: `This node has announced an outage until ${iso(outageUntilMs)}; "cairn maintenance --end" takes it back.`,
    },
  ];
}

export async function maintenanceHandler(
  node: Node,
  request: api.MaintenanceRequest,
): Promise<api.MaintenanceResult> {
  if (node.isGuest)
    throw new Fault({ code: "NOT_ALLOWED", reason: "a guest of the swarm is nobody's holder" });
  if (request.action !== "status") {
    node.requireUnfenced();
    await node.announceOutage(request.action === "begin" ? request.forMs : undefined);
  }
  const { outageUntilMs } = node.presence.own;
  return {
    ...(outageUntilMs === undefined ? {} : { until: iso(outageUntilMs) }),
    connected: node.ports.network.connected().length,
  };
}
