import { toHex } from "../base/bytes.ts";
import { marksOf, type Node } from "../node/index.ts";
import { iso } from "./node-json.ts";
import type * as api from "./policy-api.ts";
import type { Alert } from "./results.ts";

/** Named one by one; of more the number says enough. */
const NAMED_MAX = 3;

export async function unmarkHandler(node: Node, request: api.UnmarkRequest): Promise<api.UnmarkResult> {
  const before = await node.repository.find(request);
  const entry = await node.repository.unmark({ snapshot: toHex(before.id) });
  const marks = marksOf(before);
  if (marks.length > 0) node.log.info("snapshot-unmarked", { snapshot: toHex(entry.id) });
  return { snapshotId: toHex(entry.id), time: iso(entry.timeMs), marks };
}

/** The newest ones that somebody should look at. */
export async function markAlerts(node: Node): Promise<Alert[]> {
  const marked = (await node.repository.snapshots()).filter((entry) => marksOf(entry).length > 0).reverse();
  const alerts = marked.slice(0, NAMED_MAX).map((entry): Alert => {
    const id = toHex(entry.id).slice(0, 8);
    const marks = marksOf(entry);
    const holds = marks.some(({ kind }) => kind === "anomaly")
      ? "Nothing before it in its set is forgotten"
      : "Forget it by name if its time is wrong; it is kept, and counts for no rule,";
    return {
      code: "snapshot-marked",
      text: `Look at snapshot ${id} of ${iso(entry.timeMs)}: ${marks.map(({ text }) => text).join("; ")}. ${holds} until "cairn unmark ${id}".`,
    };
  });
  const more = marked.length - alerts.length;
  return more === 0
    ? alerts
    : [
        ...alerts,
        { code: "snapshot-marked", text: `${more} more snapshots are marked: "cairn snapshots" shows them.` },
      ];
}
