/**
 * Run as a user without rights, by test/integration/files-on-disk.test.ts: what that user can read in the first
 * directory and write in the second, as JSON.
 */
import { createFileOpener, createFileTarget, createFileTree } from "../../src/adapters/files/index.ts";
import { must } from "../../src/base/assert.ts";
import { isFault } from "../../src/base/fault.ts";
import { bytePathOf, joinPath } from "../../src/base/paths.ts";

const p = bytePathOf;
const readable = p(must(process.argv[2], "directory to read"));
const writable = p(must(process.argv[3], "directory to write"));
const tree = createFileTree();

async function errnoOf(task: () => unknown): Promise<string> {
  try {
    await task();
  } catch (error) {
    if (isFault(error, "SOURCE_UNREADABLE", "TARGET_FAILED")) return error.detail.errno;
    throw error;
  }
  return "none";
}

const file = createFileOpener().open(joinPath(readable, p("open")));
const bytes = new Uint8Array(7);
file.read(0, bytes);

const target = await createFileTarget(writable);
const uid = process.getuid?.() ?? 0;
const gid = process.getgid?.() ?? 0;
const own = { mode: 0o6755, uid, gid, mtimeNs: 1n, xattrs: [{ name: p("user.x"), value: bytes }] };
const foreign = { ...own, uid: 0, gid: 0, xattrs: [{ name: p("trusted.x"), value: bytes }] };
const device = { major: 1, minor: 3 };

const report = {
  names: (await tree.list(readable)).map((entry) => entry.name),
  open: Buffer.from(bytes).toString(),
  closed: await errnoOf(() => createFileOpener().open(joinPath(readable, p("closed")))),
  locked: await errnoOf(() => tree.list(joinPath(readable, p("locked")))),
  foreign: await target.writeFile(p("foreign"), bytes, foreign),
  foreignMode: (await target.lstat(p("foreign")))?.mode,
  own: await target.writeFile(p("own"), bytes, own),
  ownMode: (await target.lstat(p("own")))?.mode,
  readOnly: await target.writeFile(p("read-only"), bytes, { ...own, mode: 0o444 }),
  readOnlyMode: (await target.lstat(p("read-only")))?.mode,
  readOnlyXattrs: (await target.xattrs(p("read-only"))).map((xattr) => xattr.name),
  device: await errnoOf(() => target.makeNode(p("null"), "character-device", device, own)),
  outside: await errnoOf(() => createFileTarget(joinPath(readable, p("locked/x")))),
};
console.log(JSON.stringify(report));
