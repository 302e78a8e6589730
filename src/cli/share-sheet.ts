import { type Sheet, steps } from "./key-sheet.ts";
import { STYLE } from "./key-sheet-html.ts";
import { escaped, printable } from "./text.ts";

/** One piece of a split recovery key, on a page of its own. */
export interface ShareSheet extends Omit<Sheet, "words"> {
  readonly words: readonly string[];
  readonly number: number;
  readonly shares: number;
  readonly threshold: number;
  /** Of the split, as the list of keys has it. */
  readonly splitId: string;
}

const COLUMNS = 4;

function titleOf({ number, shares, threshold }: ShareSheet): string {
  return `Share ${number} of ${shares}; any ${threshold} make the recovery key`;
}

function howTo(sheet: ShareSheet): string[] {
  const last = [
    `Put ${sheet.threshold} of these files or typed texts together: give --shares FILE for each.`,
    `One share alone opens nothing and tells nothing. Keep the shares at different places.`,
  ];
  const lines = steps(sheet.members).map((line) =>
    line.replace("--recovery-key -", Array(sheet.threshold).fill("--shares FILE").join(" ")),
  );
  return [...lines.filter((line) => !/^(Type the words|Whoever has)/.test(line)), ...last];
}

/** What "recover" and "combine" read as it is: all but the words is behind a #. */
export function shareText(sheet: ShareSheet): string {
  const { identity, words, members, time, splitId } = sheet;
  const remarks = [
    `CAIRN: ${titleOf(sheet)}`,
    "",
    `  node   ${printable(identity.name)}`,
    `  owner  ${identity.ownerId}`,
    `  swarm  ${identity.swarmId}`,
    `  split  ${splitId}, made ${time.slice(0, 16).replace("T", " ")} UTC`,
    "",
    "Words of this share, to be read along the rows:",
  ];
  const cells = words.map((word, i) => `${String(i + 1).padStart(2)}. ${word.padEnd(10)}`);
  const rows = Array.from({ length: Math.ceil(cells.length / COLUMNS) }, (_, i) =>
    `  ${cells.slice(i * COLUMNS, (i + 1) * COLUMNS).join("")}`.trimEnd(),
  );
  const known = members.flatMap(({ name, site, peerId, addresses }) => [
    `  ${printable(name)} at ${printable(site)}`,
    ...addresses.map((address) => `     ${printable(address)}/p2p/${peerId}`),
  ]);
  const after = ["Members that let the key in:", ...known, "", ...howTo(sheet)];
  const behind = (lines: readonly string[]): string[] => lines.map((line) => `# ${line}`.trimEnd());
  return `${[...behind(remarks), "", ...rows, "", ...behind(after)].join("\n")}\n`;
}

/** A page for each, to be printed and parted. */
export function shareHtml(sheets: readonly ShareSheet[]): string {
  const pages = sheets.map((sheet) => {
    const { identity, words, time, splitId } = sheet;
    const cells = words.map((word, i) => `<li><b>${i + 1}</b>${escaped(word)}</li>`);
    return `<section>
<h1>${escaped(titleOf(sheet))}</h1>
<dl>
<dt>Node</dt><dd>${escaped(identity.name)}</dd>
<dt>Owner</dt><dd>${identity.ownerId}</dd>
<dt>Swarm</dt><dd>${identity.swarmId}</dd>
<dt>Split</dt><dd>${splitId}, ${time.slice(0, 16).replace("T", " ")} UTC</dd>
</dl>
<h2>Words of this share</h2>
<ol class="words">
${cells.join("\n")}
</ol>
<h2>How to recover</h2>
${howTo(sheet)
  .map((line) =>
    line.startsWith("cairn ") ? `<p><code>${escaped(line)}</code></p>` : `<p>${escaped(line)}</p>`,
  )
  .join("\n")}
</section>`;
  });
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="robots" content="noindex">
<title>Shares of a recovery key</title>
<style>${STYLE}  section { break-after: page; }
</style>
</head>
<body>
${pages.join("\n")}
</body>
</html>
`;
}
