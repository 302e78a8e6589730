import { Fault } from "../base/fault.ts";
import { SITE_CHARACTERS_MAX, SITE_PATTERN } from "../wire/membership.ts";

/** What is left of a name when case, spaces, accents and punctuation are taken away. */
function squeeze(name: string): string {
  return name
    .normalize("NFKD")
    .toLowerCase()
    .replaceAll(/[^a-z0-9]/g, "");
}

function slugOf(name: string): string {
  return name
    .normalize("NFKD")
    .toLowerCase()
    .replaceAll(/\p{M}/gu, "")
    .replaceAll(/[^a-z0-9]+/g, "-")
    .replaceAll(/^-+|-+$/g, "")
    .slice(0, SITE_CHARACTERS_MAX)
    .replace(/-+$/, "");
}

/**
 * Returns the name if it may be used: a slug, and either known or clearly another one than all that are known.
 * `USAGE` otherwise, with the spelling to use. Two spellings of one building would count as two failure
 * domains, and a fire would take more shards than the placement allowed for.
 */
export function checkSiteName(name: string, known: Iterable<string>): string {
  const squeezed = squeeze(name);
  for (const site of known) {
    if (site === name) return name;
    if (squeezed !== "" && squeeze(site) === squeezed) {
      throw new Fault({
        code: "USAGE",
        reason: `Site "${name}" is spelled "${site}" in this swarm; use that, or a clearly different name.`,
      });
    }
  }
  if (name.length > SITE_CHARACTERS_MAX || !SITE_PATTERN.test(name)) {
    const slug = slugOf(name);
    const hint = slug === "" ? "" : `, for example "${slug}"`;
    throw new Fault({
      code: "USAGE",
      reason: `A site name is a lower-case slug of at most ${SITE_CHARACTERS_MAX} letters, digits and hyphens${hint}.`,
    });
  }
  return name;
}
