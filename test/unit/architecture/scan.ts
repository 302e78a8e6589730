/** What a source file imports, and its code without comments and without the insides of strings. */
export interface ScannedSource {
  readonly imports: readonly { readonly specifier: string; readonly line: number }[];
  /** Of the same length and lines as the source: comments and contents of strings are blanks. */
  readonly code: string;
}

/**
 * A scanner, not a parser: it knows comments, strings, templates (with code inside `${}`) and regular expressions, which is
 * enough to find imports and forbidden names without being fooled by a comment that mentions them.
 */
export function scanSource(source: string): ScannedSource {
  const code = blankOut(source);
  const imports: { specifier: string; line: number }[] = [];
  // Statements keep their shape in `code`; the name itself is read from the source at the same place.
  const statement = /\bfrom\s*(["'])|\bimport\s*\(?\s*(["'])|\brequire\s*\(\s*(["'])/g;
  for (const match of code.matchAll(statement)) {
    const quote = match[1] ?? match[2] ?? match[3] ?? '"';
    const start = match.index + match[0].length;
    const end = source.indexOf(quote, start);
    if (end >= 0) imports.push({ specifier: source.slice(start, end), line: lineOf(source, match.index) });
  }
  return { imports, code };
}

export function lineOf(source: string, position: number): number {
  return source.slice(0, position).split("\n").length;
}

function blankOut(source: string): string {
  const out = source.split("");
  const blank = (from: number, to: number) => {
    for (let i = from; i < to; i++) if (out[i] !== "\n") out[i] = " ";
  };
  // Depth of braces inside each `${ }` that is open, innermost last.
  const templates: number[] = [];
  let i = 0;
  const template = (from: number): number => {
    const end = endOfTemplatePart(source, from);
    blank(from, end.at);
    if (end.opensCode) templates.push(0);
    return end.at + (end.opensCode ? 2 : 1);
  };
  while (i < source.length) {
    const char = source[i];
    const two = source.slice(i, i + 2);
    const depth = templates.length - 1;
    if (two === "//" || two === "/*") {
      const found = two === "//" ? source.indexOf("\n", i) : source.indexOf("*/", i + 2) + 2;
      const end = found < i ? source.length : found;
      blank(i, end);
      i = end;
    } else if (char === '"' || char === "'") {
      const end = endOfString(source, i + 1, char);
      blank(i + 1, end);
      i = end + 1;
    } else if (char === "`") {
      i = template(i + 1);
    } else if (char === "/" && startsRegExp(out, i)) {
      const end = endOfRegExp(source, i + 1);
      blank(i, end);
      i = end;
    } else if (char === "}" && templates[depth] === 0) {
      templates.pop();
      i = template(i + 1);
    } else {
      if (depth >= 0 && char === "{") templates[depth] = (templates[depth] ?? 0) + 1;
      if (depth >= 0 && char === "}") templates[depth] = (templates[depth] ?? 0) - 1;
      i++;
    }
  }
  return out.join("");
}

function endOfString(source: string, from: number, quote: string): number {
  let i = from;
  while (i < source.length && source[i] !== quote && source[i] !== "\n") i += source[i] === "\\" ? 2 : 1;
  return i;
}

function endOfTemplatePart(source: string, from: number): { at: number; opensCode: boolean } {
  let i = from;
  while (i < source.length && source[i] !== "`") {
    if (source.startsWith("${", i)) return { at: i, opensCode: true };
    i += source[i] === "\\" ? 2 : 1;
  }
  return { at: i, opensCode: false };
}

/** A slash is a division after a value, else it opens a regular expression. */
function startsRegExp(out: readonly string[], at: number): boolean {
  let i = at - 1;
  while (i >= 0 && /\s/.test(out[i] ?? "")) i--;
  if (i < 0) return true;
  const before = out.slice(Math.max(0, i - 9), i + 1).join("");
  return (
    /[(,=:[!&|?{};+\-*%<>~^]$/.test(before) || /\b(return|typeof|case|in|of|yield|await|void)$/.test(before)
  );
}

function endOfRegExp(source: string, from: number): number {
  let inClass = false;
  let i = from;
  for (; i < source.length && source[i] !== "\n"; i++) {
    const char = source[i];
    if (char === "\\") i++;
    else if (char === "[") inClass = true;
    else if (char === "]") inClass = false;
    else if (char === "/" && !inClass) return i + 1;
  }
  return i;
}
