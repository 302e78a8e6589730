/**
 * A child process for the kill tests: puts shards one after the other and several at once, and prints each id
 * after its put has resolved, until it is killed. `node put-loop.ts HOME FIRST`
 */
import { writeSync } from "node:fs";
import { join } from "node:path";
import { openFileShardStore, openFileSpool, openLevelMetaStore } from "../../src/adapters/store/index.ts";
import { utf8 } from "../../src/base/bytes.ts";
import { SILENT_LOG } from "../../src/base/log.ts";
import { prefixed } from "../../src/ports/prefixed-meta-store.ts";
import { bytesNamed, shardId } from "./named.ts";

const [home = "", first = "0"] = process.argv.slice(2);
const database = await openLevelMetaStore(join(home, "db"), SILENT_LOG);
const store = await openFileShardStore({
  directory: join(home, "shards"),
  index: prefixed(database, utf8("s")),
  capacityBytes: 2 ** 40,
  reserve: { bytes: 0, ratio: 0 },
  log: SILENT_LOG,
});
const spool = await openFileSpool({ directory: join(home, "spool") });

let next = Number(first);
async function putForEver(): Promise<void> {
  for (;;) {
    const n = next++;
    const name = `kill-${n}`;
    await store.put(shardId(n), bytesNamed(name, 1 + (n % 7) * 9_000), utf8(name));
    writeSync(1, `shard ${n}\n`);
    // Rewriting a small set of ids makes replacements as likely to be cut as new ones.
    await store.put(shardId(n % 5, 1), bytesNamed(name, 20_000), utf8(name));
    writeSync(1, `again ${n % 5} ${n}\n`);
    if (n % 3 === 0) {
      await spool.put(`f-${n}`, bytesNamed(name, 10_000));
      writeSync(1, `spool ${n}\n`);
    }
  }
}
await Promise.all([putForEver(), putForEver(), putForEver()]);
