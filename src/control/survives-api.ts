import { z } from "zod";

const count = z.int().nonnegative();

/** What may be lost: the most sites, nodes or machines of which any choice may go. */
export const survives = z.object({
  sites: count,
  nodes: count,
  hosts: count,
  nodesAfterWorstSite: count,
});
export type Survives = z.infer<typeof survives>;
