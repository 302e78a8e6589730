import {
  type Document,
  isAlias,
  isCollection,
  isMap,
  isNode,
  LineCounter,
  type Node,
  parseDocument,
  visit,
} from "yaml";
import type { z } from "zod";
import { type PolicyDocument, policyDocument } from "./schema.ts";

/** Of a policy file: people write it. */
export const POLICY_BYTES_MAX = 1024 * 1024;
/** Nobody mends more than so many mistakes at a time. */
const ISSUES_MAX = 100;

/** What is wrong with a file, and where; both from 1. */
export interface PolicyIssue {
  readonly line: number;
  readonly column: number;
  readonly message: string;
}

export type ParsedPolicy =
  | { readonly ok: true; readonly policy: PolicyDocument; readonly lineOf: LineOf }
  | { readonly ok: false; readonly issues: readonly PolicyIssue[] };

/** The line on which a value begins; `undefined` where there is no such value. */
export type LineOf = (path: readonly PropertyKey[]) => number | undefined;

/** Never throws: whatever is wrong is in `issues`, in the order of the file. */
export function parsePolicy(text: string): ParsedPolicy {
  if (text.length > POLICY_BYTES_MAX)
    return failed([{ line: 1, column: 1, message: `the file is longer than ${POLICY_BYTES_MAX} bytes` }]);
  const lines = new LineCounter();
  const document = parseDocument(text, {
    lineCounter: lines,
    version: "1.2",
    prettyErrors: false,
    merge: false,
  });
  const at = (offset: number, message: string): PolicyIssue => {
    const { line, col } = lines.linePos(offset);
    return { line: Math.max(1, line), column: Math.max(1, col), message };
  };
  const wrong = [...document.errors, ...document.warnings].map((error) =>
    at(error.pos[0], error.message.split("\n")[0] ?? error.code),
  );
  wrong.push(
    ...aliases(document).map((offset) => at(offset, "anchors and aliases are not used in a policy file")),
  );
  if (wrong.length > 0) return failed(wrong);
  const parsed = policyDocument.safeParse(document.toJS({ maxAliasCount: 0 }) ?? {});
  if (!parsed.success) return failed(parsed.error.issues.flatMap((issue) => issuesOf(document, issue, at)));
  const lineOf: LineOf = (path) => {
    const offset = offsetOf(document, path);
    return offset === undefined ? undefined : lines.linePos(offset).line;
  };
  return { ok: true, policy: parsed.data, lineOf };
}

function failed(issues: readonly PolicyIssue[]): ParsedPolicy {
  const sorted = [...issues].sort((a, b) => a.line - b.line || a.column - b.column);
  return { ok: false, issues: sorted.slice(0, ISSUES_MAX) };
}

/** They multiply: a file of a kilobyte can stand for gigabytes. */
function aliases(document: Document): number[] {
  const found: number[] = [];
  visit(document, (_, node) => {
    if (!isNode(node)) return;
    if (isAlias(node) || node.anchor !== undefined) found.push(node.range?.[0] ?? 0);
  });
  return found;
}

type At = (offset: number, message: string) => PolicyIssue;

function issuesOf(document: Document, issue: z.core.$ZodIssue, at: At): PolicyIssue[] {
  const path = issue.path;
  if (issue.code === "unrecognized_keys")
    return issue.keys.map((key) =>
      at(offsetOf(document, [...path, key]) ?? nearest(document, path), `"${key}" is not known here`),
    );
  // Of alternatives, those that were not meant only confuse: the last one is the full form.
  if (issue.code === "invalid_union") {
    const meant = issue.errors.at(-1) ?? [];
    const isObject = isMap(nodeAt(document, path));
    if (isObject && meant.length > 0)
      return meant.flatMap((inner) => issuesOf(document, { ...inner, path: [...path, ...inner.path] }, at));
  }
  const where = path.length === 0 ? "" : `${path.map(String).join(".")}: `;
  return [at(offsetOf(document, path) ?? nearest(document, path), `${where}${issue.message}`)];
}

function nodeAt(document: Document, path: readonly PropertyKey[]): Node | undefined {
  const found: unknown = path.length === 0 ? document.contents : document.getIn(path, true);
  return isNode(found) ? found : undefined;
}

/** Of the key where there is one: that is what somebody looks for. */
function offsetOf(document: Document, path: readonly PropertyKey[]): number | undefined {
  const parent = nodeAt(document, path.slice(0, -1));
  const last = path.at(-1);
  if (isMap(parent)) {
    for (const { key } of parent.items)
      if (isNode(key) && "value" in key && String(key.value) === String(last)) return key.range?.[0];
    return undefined;
  }
  return nodeAt(document, path)?.range?.[0];
}

/** Of something that is missing: where it should be. */
function nearest(document: Document, path: readonly PropertyKey[]): number {
  for (let length = path.length; length > 0; length--) {
    const offset = offsetOf(document, path.slice(0, length));
    if (offset !== undefined) return offset;
  }
  const { contents } = document;
  return isCollection(contents) ? (contents.range?.[0] ?? 0) : 0;
}
