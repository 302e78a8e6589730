import { expect, it } from "vitest";
import { exitStatusOfStatus } from "../../../src/cli/exit-codes.ts";
import type { HeirsStanding } from "../../../src/control/heirs-api.ts";

const standing = { state: "member" } as const;
const CALM: HeirsStanding = {
  ...{ owners: [], queued: 0, queue: [], stuck: [], mended: 0, slotsMoved: 0, segments: 0 },
  ...{ copied: 0, bytesIn: 0, bytesOut: 0, failures: 0, recordsRefused: 0, claimsRefused: 0 },
};
const STUCK = { ownerId: "o", row: "r", why: "nobody", margin: 0 };

it("status is 4 on a holder, too, while rows of an owner that is away are due or stuck", () => {
  expect(exitStatusOfStatus({ standing, alerts: [], heirs: CALM })).toBe(0);
  expect(exitStatusOfStatus({ standing, alerts: [], heirs: { ...CALM, owners: ["o"] } })).toBe(0);
  expect(exitStatusOfStatus({ standing, alerts: [], heirs: { ...CALM, queued: 1 } })).toBe(4);
  expect(exitStatusOfStatus({ standing, alerts: [], heirs: { ...CALM, stuck: [STUCK] } })).toBe(4);
});
