import { expect, it } from "vitest";
import { Fault } from "../../../src/base/fault.ts";
import { dialFault } from "../../../src/cli/runtime-dial.ts";

const away = (peer: string) => new Fault({ code: "PEER_UNREACHABLE", peer, reason: "connect ECONNREFUSED" });

it("where nobody answers says so once, and what to do", () => {
  const fault = dialFault([away("a:1"), away("b:1"), away("c:1")], "Is it on?");
  expect(fault.message).toBe(
    "a:1 cannot be reached: connect ECONNREFUSED (nor can the 2 other address(es)). Is it on?",
  );
  expect(dialFault([away("a:1")], "Is it on?").message).toBe(
    "a:1 cannot be reached: connect ECONNREFUSED. Is it on?",
  );
});

it("a member that does not let us in says more than others that are away", () => {
  const refused = new Fault({ code: "NOT_A_MEMBER" });
  expect(dialFault([away("a:1"), refused, away("b:1")], "Is it on?")).toBe(refused);
  expect(dialFault([], "").code).toBe("USAGE");
});
