import { type Sheet, steps, withoutMembers } from "./key-sheet.ts";
import { escaped } from "./text.ts";

const WORDS = 24;

export const STYLE = `
  @page { size: A4; margin: 18mm; }
  body { font: 11pt/1.4 sans-serif; color: #000; max-width: 174mm; margin: 1em auto; }
  h1 { font-size: 18pt; margin: 0 0 .6em; }
  h2 { font-size: 12pt; margin: 1.4em 0 .4em; }
  dl { display: grid; grid-template-columns: max-content 1fr; gap: .1em 1em; margin: 0; }
  dt { font-weight: bold; }
  dd { margin: 0; overflow-wrap: anywhere; font-family: monospace; }
  ol.words { display: grid; grid-template-columns: repeat(4, 1fr); gap: .5em 1em; padding: 0; list-style: none; }
  ol.words li { border-bottom: 1px solid #000; min-height: 1.9em; font: 13pt monospace; }
  ol.words b { font: 8pt sans-serif; margin-right: .5em; }
  code { font-family: monospace; overflow-wrap: anywhere; }
  li code { display: block; }
  .note { border: 1px solid #000; padding: .5em .8em; margin-top: 1.4em; }
`;

/** One page that needs nothing else, to be printed. */
export function sheetHtml(sheet: Sheet): string {
  const { identity, words, members, time } = sheet;
  const cells = Array.from(
    { length: WORDS },
    (_, i) => `<li><b>${i + 1}</b>${escaped(words?.[i] ?? "")}</li>`,
  );
  const known = members.map(
    ({ name, site, peerId, addresses }) =>
      `<li>${escaped(name)} at ${escaped(site)}${addresses
        .map((address) => `<code>${escaped(`${address}/p2p/${peerId}`)}</code>`)
        .join("")}</li>`,
  );
  const lines = steps(members);
  const how = lines
    .slice(0, -1)
    .map((line) => (line.startsWith("cairn ") ? code(line) : `<p>${escaped(line)}</p>`));
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="robots" content="noindex">
<title>Recovery sheet: ${escaped(identity.name)}</title>
<style>${STYLE}</style>
</head>
<body>
<h1>Recovery sheet of a cairn node</h1>
<dl>
<dt>Node</dt><dd>${escaped(identity.name)}</dd>
<dt>Owner</dt><dd>${identity.ownerId}</dd>
<dt>Swarm</dt><dd>${identity.swarmId}</dd>
<dt>Made</dt><dd>${time.slice(0, 16).replace("T", " ")} UTC</dd>
</dl>
<h2>Recovery key${words === undefined ? ": write the 24 words here" : ""}</h2>
<ol class="words">
${cells.join("\n")}
</ol>
<h2>Members that let this key in</h2>
${known.length === 0 ? `<p>${escaped(withoutMembers(sheet))}</p>` : `<ul>\n${known.join("\n")}\n</ul>`}
<h2>How to recover</h2>
${how.join("\n")}
<p class="note">${escaped(lines.at(-1) ?? "")}</p>
</body>
</html>
`;
}

function code(line: string): string {
  return `<p><code>${escaped(line)}</code></p>`;
}
