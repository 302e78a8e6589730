import { z } from "zod";
import type { SeededRng } from "../../sim/rng.ts";
import { concatBytes, toBase64, utf8 } from "../../src/base/bytes.ts";
import { byteLengths } from "../../src/wire/codec.ts";

/** Draws one value of a schema; mostly small, now and then at a bound. */
export type Draw = (rng: SeededRng) => unknown;

/** Byte strings that mean something where the value is going: ids that exist, records that somebody signed. */
export type Ingredients = (rng: SeededRng, length: { min: number; max: number }) => Uint8Array | undefined;

const NO_INGREDIENTS: Ingredients = () => undefined;

/** Largest byte string, text and list that is drawn often; longer ones come seldom, since their cost is not the code's. */
const OFTEN_BYTES_MAX = 256;
const OFTEN_ITEMS_MAX = 4;
const AT_BOUND = 0.05;
const AT_LARGE_BOUND = 0.0005;
const LARGE = 4096;

const SLUG = "abcdefghijklmnopqrstuvwxyz0123456789";
const TEXTS = ["a", "shop-12", "naïve", "日本語", "𝒳", "..", "/ip4/10.0.0.1/tcp/4001", "0"];

/**
 * A generator made from a zod schema, for the constructs that src/wire and src/control use. It throws at once for a
 * construct it does not know: a schema that grows a new one must not go without messages.
 */
export function drawerOf(schema: z.ZodType, ingredients: Ingredients = NO_INGREDIENTS): Draw {
  const bytes = byteLengths.get(schema);
  if (bytes !== undefined) return (rng) => ingredients(rng, bytes) ?? rng.bytes(lengthWithin(rng, bytes));
  if (schema instanceof z.ZodObject) return objectDrawer(schema, ingredients);
  if (schema instanceof z.ZodArray) {
    const element = drawerOf(typed(schema.element), ingredients);
    const bounds = boundsOf(schema);
    return (rng) => Array.from({ length: itemsWithin(rng, bounds) }, () => element(rng));
  }
  if (schema instanceof z.ZodTuple) {
    const items = schema.def.items.map((item) => drawerOf(typed(item), ingredients));
    return (rng) => items.map((draw) => draw(rng));
  }
  if (schema instanceof z.ZodUnion) {
    const options = schema.options.map((option) => drawerOf(typed(option), ingredients));
    return (rng) => rng.pick(options)(rng);
  }
  if (schema instanceof z.ZodLiteral) {
    const values = [...schema.values];
    return (rng) => rng.pick(values);
  }
  if (schema instanceof z.ZodEnum) return (rng) => rng.pick(schema.options);
  if (schema instanceof z.ZodBoolean) return (rng) => rng.chance(0.5);
  if (schema instanceof z.ZodNumber) return numberDrawer(schema);
  if (schema instanceof z.ZodBase64)
    return (rng) => toBase64(concatBytes(utf8("/"), rng.bytes(rng.below(40))));
  if (schema instanceof z.ZodBase64URL)
    return (rng) => Buffer.from(rng.bytes(rng.below(40))).toString("base64url");
  if (schema instanceof z.ZodString) return textDrawer(schema);
  // A codec's input is what travels; `encode` and `decode` go from one side to the other.
  if (schema instanceof z.ZodPipe) return drawerOf(typed(schema.in), ingredients);
  if (isOptional(schema)) return drawerOf(typed(schema.def.innerType), ingredients);
  if (schema instanceof z.ZodNullable) {
    const inner = drawerOf(typed(schema.def.innerType), ingredients);
    return (rng) => (rng.chance(0.3) ? null : inner(rng));
  }
  throw new Error(`no generator for a ${schema.def.type}`);
}

function isOptional(schema: unknown): schema is z.ZodOptional | z.ZodExactOptional | z.ZodDefault {
  return (
    schema instanceof z.ZodOptional || schema instanceof z.ZodExactOptional || schema instanceof z.ZodDefault
  );
}

/** zod's own types of nested schemas are of its core; all of ours are of its classic half. */
function typed(schema: unknown): z.ZodType {
  if (schema instanceof z.ZodType) return schema;
  throw new Error("not a schema");
}

function objectDrawer(schema: z.ZodObject, ingredients: Ingredients): Draw {
  const fields = Object.entries(schema.shape).map(([name, field]) => ({
    name,
    draw: drawerOf(typed(field), ingredients),
    isOptional: isOptional(field),
  }));
  return (rng) => {
    const object: Record<string, unknown> = {};
    for (const { name, draw, isOptional } of fields)
      if (!isOptional || rng.chance(0.5)) object[name] = draw(rng);
    return object;
  };
}

function numberDrawer(schema: z.ZodNumber): Draw {
  const bound = schema.minValue ?? 0;
  // `positive` has a bound that is not among its values.
  const least = schema.safeParse(bound).success ? bound : bound + 1;
  const most = Math.min(schema.maxValue ?? Number.MAX_SAFE_INTEGER, Number.MAX_SAFE_INTEGER);
  return (rng) => {
    const choice = rng.below(5);
    if (choice === 0) return least;
    if (choice === 1) return most;
    if (choice === 2) return Math.min(most, least + rng.below(300));
    return least + Math.floor(rng.float() ** 8 * (most - least));
  };
}

function textDrawer(schema: z.ZodString): Draw {
  const bounds = { min: schema.minLength ?? 0, max: schema.maxLength ?? 300 };
  const slug = (rng: SeededRng): string => {
    const length = Math.max(1, lengthWithin(rng, bounds));
    return Array.from({ length }, () => SLUG[rng.below(SLUG.length)]).join("");
  };
  return (rng) => {
    const text = rng.chance(0.3) ? rng.pick(TEXTS) : slug(rng);
    return schema.safeParse(text).success ? text : slug(rng);
  };
}

/** Bounds of a list; zod keeps them in its checks. */
function boundsOf(schema: z.ZodArray): { min: number; max: number } {
  let [min, max] = [0, 64];
  for (const check of schema.def.checks ?? []) {
    const { def } = check._zod;
    if ("minimum" in def && typeof def.minimum === "number") min = def.minimum;
    if ("maximum" in def && typeof def.maximum === "number") max = def.maximum;
  }
  return { min, max };
}

function lengthWithin(rng: SeededRng, { min, max }: { min: number; max: number }): number {
  if (min === max) return min;
  if (rng.chance(max > LARGE ? AT_LARGE_BOUND : AT_BOUND)) return max;
  if (rng.chance(AT_BOUND)) return min;
  return min + rng.below(Math.min(max - min, OFTEN_BYTES_MAX) + 1);
}

function itemsWithin(rng: SeededRng, { min, max }: { min: number; max: number }): number {
  if (min === max) return min;
  if (rng.chance(max > 64 ? AT_LARGE_BOUND / 10 : AT_LARGE_BOUND)) return max;
  return min + rng.below(Math.min(max - min, OFTEN_ITEMS_MAX) + 1);
}
