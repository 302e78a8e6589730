import { z } from "zod";
import { toBase64Url, utf8 } from "../base/bytes.ts";
import { Fault } from "../base/fault.ts";
import { COMMANDS, type CommandContext, type ControlHandlers } from "./api.ts";
import { faultFromJson } from "./fault-json.ts";
import { issuesText } from "./issues-text.ts";
import {
  type AnswerLine,
  answerLine,
  commandPath,
  REQUEST_HEADER,
  REQUEST_HEADER_BYTES_MAX,
} from "./lines.ts";
import { daemonGone, requestLines, type Upload } from "./transport.ts";

type Answer = Extract<AnswerLine, { type: "item" | "data" | "result" }>;

/**
 * The daemon of a home, as its handlers. Throws HOME_MISSING, DAEMON_NOT_RUNNING or NOT_ALLOWED when there is
 * none to talk to, what the daemon threw, and INTERRUPTED when `context.signal` aborted, which also makes the
 * daemon stop what it was asked to do. A reader that leaves a list early stops it as well.
 */
export function controlClient(home: string): ControlHandlers {
  const answers = (command: keyof ControlHandlers, upload: Upload, context: CommandContext) =>
    answersOf(requestLines(home, commandPath(command), upload, context.signal), context);

  async function once<Q extends z.ZodType, R extends z.ZodType>(
    command: keyof ControlHandlers,
    shape: { readonly request: Q; readonly result: R },
    request: z.output<Q>,
    context: CommandContext,
  ): Promise<z.output<R>> {
    return await only(shape.result, answers(command, jsonUpload(shape.request, request), context));
  }

  async function* many<Q extends z.ZodType, I extends z.ZodType, R extends z.ZodType>(
    command: keyof ControlHandlers,
    shape: { readonly request: Q; readonly item: I; readonly result: R },
    request: z.output<Q>,
    context: CommandContext,
  ): AsyncGenerator<z.output<I>, z.output<R>, void> {
    for await (const answer of answers(command, jsonUpload(shape.request, request), context)) {
      if (answer.type === "item") yield shape.item.parse(answer.item);
      else if (answer.type === "result") return shape.result.parse(answer.result);
    }
    throw daemonGone();
  }

  return {
    status: (request, context) => once("status", COMMANDS.status, request, context),
    peers: (request, context) => once("peers", COMMANDS.peers, request, context),
    invite: (request, context) => once("invite", COMMANDS.invite, request, context),
    remove: (request, context) => once("remove", COMMANDS.remove, request, context),
    siteMove: (request, context) => once("siteMove", COMMANDS.siteMove, request, context),
    adminConfirm: (request, context) => once("adminConfirm", COMMANDS.adminConfirm, request, context),
    adminList: (request, context) => once("adminList", COMMANDS.adminList, request, context),
    adminKey: (request, context) => once("adminKey", COMMANDS.adminKey, request, context),
    adminAdd: (request, context) => once("adminAdd", COMMANDS.adminAdd, request, context),
    adminRemove: (request, context) => once("adminRemove", COMMANDS.adminRemove, request, context),
    adminThreshold: (request, context) => once("adminThreshold", COMMANDS.adminThreshold, request, context),
    adminPending: (request, context) => once("adminPending", COMMANDS.adminPending, request, context),
    adminVote: (request, context) => once("adminVote", COMMANDS.adminVote, request, context),
    keyBasis: (request, context) => once("keyBasis", COMMANDS.keyBasis, request, context),
    keyRotate: (request, context) => once("keyRotate", COMMANDS.keyRotate, request, context),
    quota: (request, context) => once("quota", COMMANDS.quota, request, context),
    snapshot: (request, context) => once("snapshot", COMMANDS.snapshot, request, context),
    snapshotSet: (request, context) => once("snapshotSet", COMMANDS.snapshotSet, request, context),
    usage: (request, context) => once("usage", COMMANDS.usage, request, context),
    forget: (request, context) => once("forget", COMMANDS.forget, request, context),
    log: (request, context) => once("log", COMMANDS.log, request, context),
    prune: (request, context) => once("prune", COMMANDS.prune, request, context),
    release: (request, context) => once("release", COMMANDS.release, request, context),
    pin: (request, context) => once("pin", COMMANDS.pin, request, context),
    unmark: (request, context) => once("unmark", COMMANDS.unmark, request, context),
    policyShow: (request, context) => once("policyShow", COMMANDS.policyShow, request, context),
    policySet: (request, context) => once("policySet", COMMANDS.policySet, request, context),
    snapshots: (request, context) => once("snapshots", COMMANDS.snapshots, request, context),
    restore: (request, context) => once("restore", COMMANDS.restore, request, context),
    verify: (request, context) => once("verify", COMMANDS.verify, request, context),
    scrub: (request, context) => once("scrub", COMMANDS.scrub, request, context),
    maintenance: (request, context) => once("maintenance", COMMANDS.maintenance, request, context),
    drain: (request, context) => once("drain", COMMANDS.drain, request, context),
    audit: (request, context) => once("audit", COMMANDS.audit, request, context),
    plan: (request, context) => once("plan", COMMANDS.plan, request, context),
    repair: (request, context) => once("repair", COMMANDS.repair, request, context),
    shutdown: (request, context) => once("shutdown", COMMANDS.shutdown, request, context),
    ls: (request, context) => many("ls", COMMANDS.ls, request, context),
    find: (request, context) => many("find", COMMANDS.find, request, context),
    shards: (request, context) => many("shards", COMMANDS.shards, request, context),
    diff: (request, context) => many("diff", COMMANDS.diff, request, context),
    async *cat(request, context) {
      for await (const answer of answers("cat", jsonUpload(COMMANDS.cat.request, request), context)) {
        if (answer.type === "data") yield Buffer.from(answer.base64, "base64");
        else if (answer.type === "result") return COMMANDS.cat.result.parse(answer.result);
      }
      throw daemonGone();
    },
    async snapshotStdin(request, context, body) {
      const { request: schema, result } = COMMANDS.snapshotStdin;
      const header = toBase64Url(utf8(encodeRequest(schema, request)));
      if (header.length > REQUEST_HEADER_BYTES_MAX)
        throw new Fault({ code: "USAGE", reason: "The file name and the tags are too long together." });
      const upload = { type: "application/octet-stream", headers: { [REQUEST_HEADER]: header }, body };
      return await only(result, answers("snapshotStdin", upload, context));
    },
  };
}

function jsonUpload<Q extends z.ZodType>(schema: Q, request: z.output<Q>): Upload {
  return { type: "application/json", headers: {}, body: utf8(encodeRequest(schema, request)) };
}

function encodeRequest<Q extends z.ZodType>(schema: Q, request: z.output<Q>): string {
  const encoded = z.safeEncode(schema, request);
  if (encoded.success) return JSON.stringify(encoded.data);
  throw new Fault({ code: "USAGE", reason: `Not a valid request: ${issuesText(encoded.error)}.` });
}

async function only<R extends z.ZodType>(schema: R, answers: AsyncIterable<Answer>): Promise<z.output<R>> {
  for await (const answer of answers) {
    if (answer.type === "result") return schema.parse(answer.result);
  }
  throw daemonGone();
}

/** Hands progress on, throws what the daemon threw; the rest is for the caller. */
async function* answersOf(
  lines: AsyncIterable<string>,
  context: CommandContext,
): AsyncGenerator<Answer, void, void> {
  for await (const line of lines) {
    const parsed = answerLine.parse(JSON.parse(line));
    switch (parsed.type) {
      case "progress":
      case "warning":
        context.progress(parsed);
        break;
      case "error":
        throw faultFromJson(parsed);
      default:
        yield parsed;
    }
  }
}
