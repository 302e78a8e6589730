import type { HomeIdentity, SheetMember } from "./local-operations.ts";
import { printable } from "./text.ts";

/** A page to keep with the recovery key, or to write it on. */
export interface Sheet {
  readonly identity: HomeIdentity;
  /** Absent: there is room to write them by hand. */
  readonly words?: readonly string[];
  readonly members: readonly SheetMember[];
  /** Other members that this node knows, those without a usable address too. */
  readonly membersKnown: number;
  /** ISO 8601. */
  readonly time: string;
}

const MEMBERS_MAX = 5;
const ADDRESSES_MAX = 2;
const WORDS = 24;
const COLUMNS = 4;

/**
 * Members to reach the swarm by: of as many sites as there are, those that answer first, and none without an address.
 * One address that only the member's own machine can use is no help.
 */
export function membersForSheet(members: readonly SheetMember[]): SheetMember[] {
  const usable = members
    .map((member) => ({ ...member, addresses: member.addresses.filter(isReachable).slice(0, ADDRESSES_MAX) }))
    .filter(({ addresses }) => addresses.length > 0)
    .sort((a, b) => Number(b.isAlive) - Number(a.isAlive) || (a.peerId < b.peerId ? -1 : 1));
  const bySite = [...Map.groupBy(usable, ({ site }) => site).values()];
  const chosen: SheetMember[] = [];
  for (let round = 0; chosen.length < MEMBERS_MAX && bySite.some((list) => list.length > round); round++) {
    for (const list of bySite) {
      const member = list[round];
      if (member !== undefined && chosen.length < MEMBERS_MAX) chosen.push(member);
    }
  }
  return chosen;
}

function isReachable(address: string): boolean {
  return !/^\/ip4\/127\.|^\/ip6\/::1\/|^\/ip4\/0\.0\.0\.0\/|^\/ip6\/::\//.test(address);
}

const CELL = "____________";

export function sheetText(sheet: Sheet): string {
  const { identity, words, members, time } = sheet;
  const cells = Array.from(
    { length: WORDS },
    (_, i) => `${String(i + 1).padStart(2)}. ${(words?.[i] ?? CELL).padEnd(14)}`,
  );
  const rows: string[] = [];
  for (let i = 0; i < WORDS; i += COLUMNS)
    rows.push(
      `  ${cells
        .slice(i, i + COLUMNS)
        .join("")
        .trimEnd()}`,
      ...(words === undefined ? [""] : []),
    );
  return `${[
    "RECOVERY SHEET OF A CAIRN NODE",
    "",
    `  node   ${printable(identity.name)}`,
    `  owner  ${identity.ownerId}`,
    `  swarm  ${identity.swarmId}`,
    `  made   ${time.slice(0, 16).replace("T", " ")} UTC`,
    "",
    words === undefined
      ? "Recovery key (write the 24 words here, read along the rows):"
      : "Recovery key (read along the rows):",
    "",
    ...rows,
    "",
    "Members that let this key in (any one that answers will do):",
    "",
    ...membersText(sheet),
    "",
    ...steps(members).map((line) => (line.startsWith("cairn ") ? `     ${line}` : line)),
  ]
    .join("\n")
    .trimEnd()}\n`;
}

/** Why there is no address on it. */
export function withoutMembers({ membersKnown }: Sheet): string {
  if (membersKnown === 0) return "none is known yet: make this sheet again when others have joined.";
  return (
    `none of the ${membersKnown} known has an address that other machines can use, such as 127.0.0.1 alone: ` +
    'give them one ("cairn daemon --listen" or "--announce"), and make this sheet again.'
  );
}

function membersText(sheet: Sheet): string[] {
  const { members } = sheet;
  if (members.length === 0) return [`  ${withoutMembers(sheet)}`];
  return members.flatMap(({ name, site, peerId, addresses }) => [
    `  ${printable(name)} at ${printable(site)}`,
    ...addresses.map((address) => `     ${printable(address)}/p2p/${peerId}`),
  ]);
}

/** How to use it; lines that begin with the program's name are to be typed. */
export function steps(members: readonly SheetMember[]): string[] {
  const [first] = members;
  const address = first === undefined ? "ADDRESS" : `${first.addresses[0] ?? "ADDRESS"}/p2p/${first.peerId}`;
  return [
    "When the machine is lost, on a new one with cairn installed:",
    `cairn recover --recovery-key - --peer ${printable(address)}`,
    "Type the words, then Ctrl-D. Several --peer may be given. Then:",
    "cairn daemon",
    "cairn restore latest --target DIR",
    "To look and restore while the machine lives, add --read-only to the first line.",
    "Whoever has these words can read and take over all that this node saved. Keep them away from the machine.",
  ];
}
