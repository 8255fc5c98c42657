/** A step of a project's own kind: its fields as its JSON schema has them, with no code of ours for it. */

import { useQuery, useQueryClient } from "@tanstack/react-query";

import { get } from "../api/client";
import type { JsonValue, KindPage, OtherStep, StoredKind } from "../api/schema";
import { moment } from "../steps/figures";
import { type Field, fieldsOf } from "./own_kind";
import { Row, Value } from "./Values";
import { useUnfolded } from "./unfolded";

const BRIEF_ROWS = 10;
const RENEW_MS = 5_000;

/** See above. */
export function OwnKind({ step, name, isBrief = false }: { step: OtherStep; name: string; isBrief?: boolean }) {
  const schema = useSchema(step.kind, step.schema_version);
  const [isOpen, toggle] = useUnfolded(`${name}/fields`);
  const fields = fieldsOf(schema, step.payload);
  const most = isBrief && !isOpen ? BRIEF_ROWS : fields.length;
  return (
    <>
      <dl className={`values${isBrief ? " in-a-row" : ""}`}>
        {fields.slice(0, most).map((field) => (
          <Row key={field.key} label={field.label} title={field.description ?? undefined}>
            <FieldValue field={field} value={step.payload[field.key] ?? null} name={`${name}/${field.key}`} isBrief={isBrief} />
            {!isBrief && field.description !== null && <span className="field-words">{field.description}</span>}
          </Row>
        ))}
      </dl>
      {isBrief && fields.length > BRIEF_ROWS && (
        <button className="fold" aria-expanded={isOpen} onClick={toggle}>{isOpen ? "show less" : `show all ${fields.length}`}</button>
      )}
    </>
  );
}

function FieldValue({ field, value, name, isBrief }: { field: Field; value: JsonValue; name: string; isBrief: boolean }) {
  if (typeof value === "string" && field.isEnum) return <span className="chip">{value}</span>;
  if (typeof value === "string" && field.format === "date-time") return <time dateTime={value} title={value}>{timeOf(value)}</time>;
  if (isWordList(value)) return <ul className="word-list">{value.map((each, at) => <li key={at}>{each}</li>)}</ul>;
  return (
    <>
      <Value value={value} name={name} isBrief={isBrief} />
      {field.unit !== null && value !== null && <span className="soft"> {field.unit}</span>}
    </>
  );
}

function timeOf(text: string): string {
  const ms = Date.parse(text);
  return Number.isNaN(ms) ? text : moment(ms * 1e6);
}

function isWordList(value: JsonValue): value is string[] {
  return Array.isArray(value) && value.length > 0 && value.length <= 20
    && value.every((each) => typeof each === "string" && each.length <= 400);
}

/** The schema of a kind and version; null while it is not known. */
function useSchema(kind: string, version: number): { [key: string]: JsonValue } | null {
  const queries = useQueryClient();
  const { data } = useQuery({
    queryKey: ["kind", kind, version],
    queryFn: async () => {
      // One question for all kinds that are met at once.
      const kinds = await queries.fetchQuery({ queryKey: ["kinds"], queryFn: allKinds, staleTime: RENEW_MS });
      return kinds.find((each) => each.kind === kind && each.schema_version === version)?.json_schema ?? null;
    },
    staleTime: (query) => (query.state.data ? Number.POSITIVE_INFINITY : RENEW_MS),
  });
  return data ?? null;
}

async function allKinds(): Promise<StoredKind[]> {
  const found: StoredKind[] = [];
  for (let after: string | null = null, isFirst = true; isFirst || after !== null; isFirst = false) {
    const page: KindPage = await get<KindPage>("/kinds", { after });
    found.push(...page.items);
    after = page.next;
  }
  return found;
}
