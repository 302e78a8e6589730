/**
 * The table of docs/protection.md: what `auto` chooses for typical swarms. Run: node bench/profiles.ts
 * Computed, not measured: it only changes when the rule does.
 */
import { autoProfile, formatProfile } from "../src/placement/index.ts";

interface Typical {
  readonly nodes: number;
  readonly sites: number;
}

const TYPICAL: readonly Typical[] = [
  { nodes: 2, sites: 2 },
  { nodes: 3, sites: 3 },
  { nodes: 4, sites: 4 },
  { nodes: 5, sites: 5 },
  { nodes: 6, sites: 6 },
  { nodes: 6, sites: 3 },
  { nodes: 6, sites: 2 },
  { nodes: 9, sites: 9 },
  { nodes: 9, sites: 3 },
  { nodes: 12, sites: 12 },
  { nodes: 12, sites: 6 },
  { nodes: 12, sites: 4 },
  { nodes: 12, sites: 3 },
  { nodes: 20, sites: 20 },
  { nodes: 20, sites: 10 },
  { nodes: 20, sites: 5 },
  { nodes: 50, sites: 50 },
  { nodes: 50, sites: 10 },
  { nodes: 50, sites: 3 },
  { nodes: 200, sites: 200 },
  { nodes: 9, sites: 1 },
];

/** Nodes spread as evenly as they go; the owner's own node, at the last site, holds nothing. */
function holdersPerSite({ nodes, sites }: Typical): number[] {
  const even = Array.from({ length: sites }, (_, i) => Math.floor((nodes + i) / sites));
  return even.map((count, i) => (i === sites - 1 ? count - 1 : count));
}

console.log("| nodes / sites | profile | per site | placed per byte saved | survives | yearly loss |");
console.log("|---|---|---|---|---|---|");
for (const typical of TYPICAL) {
  const choice = autoProfile({ sites: holdersPerSite(typical) });
  const { m, cap } = choice.class;
  const survives =
    m === 0
      ? "nothing: there is one copy"
      : choice.coversSiteLoss
        ? `any site${choice.f === 0 ? "" : ` and ${choice.f} more`}, or any ${m} ${m === 1 ? "node" : "nodes"}`
        : `any ${m} nodes, **not the site**`;
  const cells = [
    `${typical.nodes} / ${typical.sites}`,
    formatProfile(choice.class),
    `${cap}`,
    `${choice.overhead.toFixed(2)}`,
    survives,
    choice.annualLoss.toExponential(0),
  ];
  console.log(`| ${cells.join(" | ")} |`);
}
