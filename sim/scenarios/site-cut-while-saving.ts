import type { Scenario } from "../scenario/scenario.ts";

/** A machine burns down, then another branch's line is cut while the others go on saving. */
export default function siteCutWhileSaving(s: Scenario): void {
  s.story(
    "A machine burns down, another site is cut off for half an hour, and the lost owner comes back from 24 words.",
  );
  s.swarm({
    nodes: 6,
    sites: 3,
    storm: "2h",
    // One branch has a slow line.
    node: (index) => (index % 3 === 2 ? { bytesPerSecond: 128 * 1024 } : {}),
  });
  for (const node of [0, 1, 2]) s.at("1m").snapshot(node);
  s.every("15m", (at, round) => at.snapshot(round % 3, { wait: "queued" }));
  // By then everything is placed: a machine that is needed for what was just saved would be left alone.
  s.at("39m").fault({ kind: "die", node: 1 });
  // Nodes 2 and 5 are at the third site.
  s.at("40m").fault({ kind: "cut", for: "30m", a: [2, 5], b: [0, 1, 3, 4] });
  s.at("80m").recover(1, 0);
  s.at("90m").restore(0).restore(2);
  s.expect("fault die");
  s.expect("recover: done");
  s.expect("restore: done");
}
