/** What a kind's JSON schema says of its fields, for people who never saw its class. Pure. */

import type { JsonValue } from "../api/schema";

/** One field of a kind. */
export interface Field {
  key: string;
  /** The title that somebody gave it, else its name. */
  label: string;
  description: string | null;
  unit: string | null;
  /** As JSON Schema names it, as in `date-time`. */
  format: string | null;
  isEnum: boolean;
}

type Schema = { [key: string]: JsonValue };

/** The fields of a payload: those of the schema in its order, then those that it does not know. */
export function fieldsOf(schema: Schema | null, payload: Schema): Field[] {
  const properties = isObject(schema?.properties) ? schema.properties : {};
  const told = attributes(text(schema?.description) ?? "");
  const known = Object.keys(properties).filter((key) => key in payload);
  const others = Object.keys(payload).filter((key) => !(key in properties));
  return [...known, ...others].map((key) => {
    const property = resolved(properties[key] ?? null, schema);
    const title = text(property.title);
    return {
      key,
      label: title === null || isDerived(title, key) ? key : title,
      description: text(property.description) ?? told.get(key) ?? null,
      unit: text(property.unit) ?? text(property.units) ?? text(property["x-unit"]),
      format: text(property.format),
      isEnum: Array.isArray(property.enum) || property.const !== undefined,
    };
  });
}

/** Pydantic makes titles of names; those say nothing new. */
function isDerived(title: string, key: string): boolean {
  return title.replaceAll(" ", "").toLowerCase() === key.replaceAll("_", "").toLowerCase();
}

/** What a docstring of Google form says of attributes. */
function attributes(docstring: string): Map<string, string> {
  const found = new Map<string, string>();
  const [, section] = docstring.split(/^Attributes:\n/m);
  for (const [, key, words] of (section ?? "").matchAll(/^ {4}(\w+)(?: \([^)]*\))?: ((?:.*)(?:\n {5,}.*)*)/gm)) {
    if (key !== undefined && words !== undefined) found.set(key, words.replace(/\s+/g, " ").trim());
  }
  return found;
}

/** A property itself where it only refers to a definition, or may also be null. */
function resolved(property: JsonValue, schema: Schema | null): Schema {
  if (!isObject(property)) return {};
  if (Array.isArray(property.anyOf)) {
    const options = property.anyOf.filter((each) => isObject(each) && each.type !== "null");
    if (options.length === 1) return { ...resolved(options[0] ?? null, schema), ...property };
  }
  const name = text(property.$ref)?.replace("#/$defs/", "");
  const definitions = schema?.$defs;
  if (name === undefined || !isObject(definitions)) return property;
  const definition = definitions[name];
  // Title and description of a definition are those of its class.
  return isObject(definition) ? { ...definition, title: null, description: null, ...property } : property;
}

function isObject(value: JsonValue | undefined): value is Schema {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function text(value: JsonValue | undefined): string | null {
  return typeof value === "string" && value !== "" ? value : null;
}
