import type { Command } from "commander";
import { z } from "zod";
import { must } from "../../base/assert.ts";
import type { AdminChangeResult, AdminForkInfo, VoteResult } from "../../control/api.ts";
import { pendingLine, proposalLine, proposalText } from "../decision-text.ts";
import { EXIT } from "../exit-codes.ts";
import type { Bind } from "../session.ts";
import { counted, listing, printable, printableLines, shortId, shortTime, table } from "../text.ts";
import { countValue, usage } from "../values.ts";
import type { AddCommand } from "./add-command.ts";
import { addExport, addImport } from "./admin-key.ts";

export const adminCommand: AddCommand = (program, bind) => {
  const group = program.command("admin").description("administrators, and what they alone may do");
  addList(group, bind);
  addAdd(group, bind);
  addRemove(group, bind);
  addThreshold(group, bind);
  addConfirm(group, bind);
  addRelease(group, bind);
  addPending(group, bind);
  addVotes(group, bind);
  addExport(group, bind);
  addImport(group, bind);
  return group;
};

const PEER = "its name, its peer id or the beginning of it";
const HEADER = ["NAME", "SITE", "HERE", "SINCE (UTC)", "KEY"];

function addList(group: Command, bind: Bind): void {
  const command = group.command("list").description("who may sign what the swarm goes by");
  bind(command, z.object({}), [0, 1, 5, 10], async (session) => {
    const result = await session.daemon.adminList({}, session.context);
    await session.result(result, () => {
      const rows = result.administrators.map(({ key, name, site, self, since }) => [
        name ?? "-",
        site ?? "-",
        self ? "yes" : "no",
        shortTime(since),
        key,
      ]);
      const signers = `${result.threshold} of ${counted(rows.length, "administrator")} must sign.`;
      const forks = result.forks.map(forkLine);
      const apart = forks.length === 0 ? "" : `\n${listing("Changed in two ways at once:", forks)}`;
      return `${table(HEADER, rows, [])}${signers}\n${apart}`;
    });
    return EXIT.done;
  });
}

function forkLine({ number, seenAt, administrators, threshold, signedBy, apart }: AdminForkInfo): string {
  const rest = apart
    ? `nodes that heard of it in time go by it: compare this list on nodes of every site, decide for one, and bring the other side's nodes over to it ("cairn recover" into a new home)`
    : "it counts nowhere where both are known";
  return (
    `change ${number} (seen ${shortTime(seenAt)} UTC) to ${threshold} of ${administrators.map(shortId).join(", ")}, ` +
    `signed by ${signedBy.map(shortId).join(", ")}; ${rest}`
  );
}

function addAdd(group: Command, bind: Bind): void {
  const command = group
    .command("add")
    .argument("<peer>", PEER)
    .description("make a member's node an administrator, with the key that it has published");
  bind(command, z.object({}), [0, 1, 2, 5, 6, 10], async (session, _, args) => {
    const request = { peer: must(args[0], "peer") };
    const result = await session.daemon.adminAdd(request, session.context);
    await session.result(result, () => changeText(result, request.peer));
    return EXIT.done;
  });
}

function addRemove(group: Command, bind: Bind): void {
  const command = group
    .command("remove")
    .argument("<peer>", "the node that has the key, or the beginning of the key (8 digits or more)")
    .description("a key signs nothing new from here on; what it has signed and is in effect stays");
  bind(command, z.object({}), [0, 1, 2, 5, 6, 10], async (session, _, args) => {
    const request = { peer: must(args[0], "peer") };
    const result = await session.daemon.adminRemove(request, session.context);
    await session.result(result, () => changeText(result, request.peer));
    return EXIT.done;
  });
}

function changeText({ key, outcome, administrators, proposal }: AdminChangeResult, peer: string): string {
  const name = printable(peer);
  const left = `There ${administrators === 1 ? "is" : "are"} ${counted(administrators, "administrator")} now.`;
  switch (outcome) {
    case "proposed":
    case "signed":
      return proposal === undefined ? "" : printableLines(proposalText(outcome, proposal));
    case "known":
      if (proposal !== undefined) return printableLines(proposalText(outcome, proposal));
      return `${name} is an administrator already.\n`;
    case "added":
      return `${name} is an administrator from now on, with the key ${key}. ${left}\n`;
    case "removed":
      return (
        `${name} is no administrator any more: the key ${key} signs nothing new. ${left}\n` +
        "Tokens that it signed and nobody has used end; what else it signed and is in effect stays.\n"
      );
  }
}

function addThreshold(group: Command, bind: Bind): void {
  const command = group
    .command("threshold")
    .argument("<n>", "how many administrators must sign")
    .description("from how many administrators on a decision counts; as many as must now decide it");
  bind(command, z.object({}), [0, 1, 2, 5, 6, 10], async (session, _, args) => {
    const request = { threshold: countValue.parse(must(args[0], "number")) };
    const result = await session.daemon.adminThreshold(request, session.context);
    await session.result(result, () => {
      const { threshold, administrators, proposal } = result;
      if (proposal !== undefined && proposal.state !== "done")
        return printableLines(proposalText("proposed", proposal));
      const of = `${threshold} of ${counted(administrators, "administrator")}`;
      const spare =
        threshold > 1 && threshold === administrators
          ? "None of their keys may be lost: without one of them nothing can be decided any more.\n"
          : "";
      return `${of} must sign from now on.\n${spare}`;
    });
    return EXIT.done;
  });
}

function addPending(group: Command, bind: Bind): void {
  const command = group
    .command("pending")
    .description("what waits for administrators' signatures, or for its day");
  bind(command, z.object({}), [0, 1, 5, 6, 10], async (session) => {
    const result = await session.daemon.adminPending({}, session.context);
    await session.result(result, () => {
      const { proposals, decisions } = result;
      const parts = [
        ...(proposals.length === 0 ? [] : [listing("To be signed:", proposals.map(proposalLine))]),
        ...(decisions.length === 0
          ? []
          : [
              listing(
                "Waiting for their day:",
                decisions.map((one) => `${shortId(one.id)}  ${pendingLine(one)}`),
              ),
            ]),
      ];
      return parts.length === 0 ? "Nothing waits.\n" : parts.join("\n");
    });
    return EXIT.done;
  });
}

const VOTES = {
  sign: "put this administrator's signature under what waits",
  refuse: "say that this administrator does not sign it",
  withdraw: "take back an own proposal or an own signature, or what waits for its day",
} as const;

function addVotes(group: Command, bind: Bind): void {
  for (const vote of ["sign", "refuse", "withdraw"] as const) {
    const command = group
      .command(vote)
      .argument("<id>", 'as "admin pending" shows it, or a unique beginning of it')
      .description(VOTES[vote]);
    bind(command, z.object({}), [0, 1, 2, 5, 6, 10], async (session, _, args) => {
      const id = must(args[0], "id");
      if (!/^[0-9a-fA-F]{1,64}$/.test(id)) throw usage(`"${id}" is no id; "cairn admin pending" lists them.`);
      const result = await session.daemon.adminVote({ id, vote }, session.context);
      await session.result(result, () => printableLines(voteText(result)));
      return EXIT.done;
    });
  }
}

function voteText({ vote, known, proposal, decision, inEffect }: VoteResult): string {
  if (decision !== undefined) {
    const said = vote === "sign" ? (known ? "Signed before" : "Signed") : "Taken back";
    const what = pendingLine(decision).split(", in effect")[0] ?? "";
    if (proposal !== undefined && !inEffect) return proposalText("proposed", proposal);
    return `${said}${vote === "sign" && inEffect ? " and in effect" : ""}: ${what}.\n`;
  }
  if (vote === "sign")
    return proposal === undefined ? "Signed.\n" : proposalText(known ? "known" : "signed", proposal);
  const word = vote === "refuse" ? "Refused" : "Withdrawn";
  return proposal === undefined ? `${word}.\n` : `${word}: ${printable(proposal.text)}.\n`;
}

function addRelease(group: Command, bind: Bind): void {
  const command = group
    .command("release")
    .argument("<owner>", `the node whose snapshots were forgotten: ${PEER}`)
    .description("let holders delete more than a fifth of what an owner stored, for a week: it is meant so");
  bind(command, z.object({}), [0, 1, 2, 5, 6, 10], async (session, _, args) => {
    const result = await session.daemon.release({ peer: must(args[0], "owner") }, session.context);
    await session.result(result, () => {
      const until = `until ${shortTime(result.until)} UTC`;
      return result.inForce
        ? `what ${printable(result.name)} does not want any more goes, however much it is, ${until}\n`
        : `this administrator releases it ${until}; others have to say so, too\n`;
    });
    return EXIT.done;
  });
}

function addConfirm(group: Command, bind: Bind): void {
  const command = group
    .command("confirm")
    .argument("<peer>", PEER)
    .description("let a recovered node keep shards of others again");
  bind(command, z.object({}), [0, 1, 2, 5, 6, 10], async (session, _, args) => {
    const request = { peer: must(args[0], "peer") };
    const result = await session.daemon.adminConfirm(request, session.context);
    await session.result(result, () => {
      const { proposal } = result;
      if (proposal !== undefined && proposal.state !== "done")
        return printableLines(proposalText("proposed", proposal));
      return `${printable(result.name)} at site ${result.site} keeps shards of others from now on.\n`;
    });
    return EXIT.done;
  });
}
