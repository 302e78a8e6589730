/**
 * The URL of a module beside this one, `path` without its ending: a worker's entry is named at run time, where
 * no tool rewrites names. The ending is this file's own, `.js` where types were stripped for packing.
 */
export function moduleUrl(path: string): URL {
  return new URL(`${path}${import.meta.url.endsWith(".ts") ? ".ts" : ".js"}`, import.meta.url);
}
