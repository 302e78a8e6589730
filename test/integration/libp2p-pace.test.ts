import { afterEach, beforeEach, expect, test } from "vitest";
import { codeOf, until } from "../contract/network.ts";
import { IDLE, introduce, isConnected, message, TestSwarm } from "./libp2p-swarm.ts";

// How fast the requests of one peer are served, and what becomes of one that is refused and goes on.

let swarm: TestSwarm;
beforeEach(async () => {
  swarm = await TestSwarm.create();
});
afterEach(async () => {
  await swarm.stop();
});

const patient = { idleTimeoutMs: 60_000 };

test("requests that come too fast are served at the pace of their peer, none is refused, and others do not wait", async () => {
  const limits = { requestRatePerPeer: { perSecond: 20, burst: 40 } };
  const [server, eager, calm] = [await swarm.node({ limits }), await swarm.node(), await swarm.node()];
  server.network.handle("data", async () => message("served"));
  await introduce(eager, server);
  await introduce(calm, server);
  const startMs = performance.now();
  let served = 0;
  const all = Array.from({ length: 140 }, async () => {
    await eager.network.request(server.network.self, "data", message(), patient);
    served++;
  });
  await until("the burst is over", () => served >= 40);
  for (let at = 0; at < 20; at++) await calm.network.request(server.network.self, "data", message(), IDLE);
  expect(served).toBeLessThan(140);
  await Promise.all(all);
  // A hundred more than may come at once, twenty a second; a sign of life is one too.
  expect(performance.now() - startMs).toBeGreaterThan(4900);
  expect(server.gauges().requestsRefused).toBe(0);
});

test("whoever is refused again and again, and goes on, loses its connection; others keep theirs", async () => {
  const limits = { inboundPerPeer: 2, refusalRatePerPeer: { perSecond: 0.001, burst: 5 } };
  const [server, eager, calm] = [
    await swarm.node({ limits, members: () => [] }),
    await swarm.node({ limits: { outboundPerPeer: 32 }, members: () => [] }),
    await swarm.node({ members: () => [] }),
  ];
  const barrier = Promise.withResolvers<void>();
  let running = 0;
  server.network.handle(
    "data",
    async (from) => {
      if (from === calm.network.self) return message("served");
      running++;
      await barrier.promise;
      return message("served");
    },
    () => 0,
  );
  await introduce(eager, server);
  await introduce(calm, server);
  let losses = 0;
  calm.network.onConnection((_, connected) => {
    if (!connected) losses++;
  });
  await calm.network.request(server.network.self, "data", message(), IDLE);
  const held = [0, 1].map(() =>
    codeOf(eager.network.request(server.network.self, "data", message(), patient)),
  );
  await until("its places are taken", () => running === 2);
  const ask = () => codeOf(eager.network.request(server.network.self, "data", message(), patient));
  for (let at = 0; at < 5; at++) expect(await ask()).toBe("PEER_BUSY");
  expect(isConnected(eager, server)).toBe(true);
  expect(await ask()).toBe("PEER_UNREACHABLE");
  // What was under way on that connection went with it.
  expect(await Promise.all(held)).toEqual(["PEER_UNREACHABLE", "PEER_UNREACHABLE"]);
  expect(server.gauges().requestsRefused).toBe(6);
  const answer = await calm.network.request(server.network.self, "data", message(), IDLE);
  expect(new TextDecoder().decode(answer.head)).toBe("served");
  expect(losses).toBe(0);
  barrier.resolve();
  await until("it is served again", async () => {
    const outcome = await eager.network
      .request(server.network.self, "data", message(), IDLE)
      .catch(() => undefined);
    return outcome !== undefined;
  });
});
