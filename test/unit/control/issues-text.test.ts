import { expect, it } from "vitest";
import { must } from "../../../src/base/assert.ts";
import { COMMANDS } from "../../../src/control/api.ts";
import { issuesText } from "../../../src/control/issues-text.ts";

it("says on one line which fields do not fit, and why", () => {
  const { error } = COMMANDS.invite.request.safeParse({ site: "a", expiresMs: 0, uses: 100_000 });
  expect(issuesText(must(error, "what is wrong"))).toMatch(
    /^expiresMs: Too small[^\n]*; uses: Too big[^\n]*$/,
  );
  const none = COMMANDS.invite.request.safeParse("no object");
  expect(issuesText(must(none.error, "what is wrong"))).toMatch(/^Invalid input[^\n]*$/);
});
