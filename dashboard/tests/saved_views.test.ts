import { beforeEach, expect, test } from "vitest";

import { queryOf, readViews, withView, writeViews } from "../src/parts/saved_views";

beforeEach(() => localStorage.clear());

test("A view is its address without what is of the moment.", () => {
  expect(queryOf(new URLSearchParams("tab=table&step=4&filter=errors>0&compare=a"))).toBe("filter=errors%3E0&tab=table");
});

test("A name that was there means the newer view.", () => {
  const views = withView([{ name: "b", query: "x=1" }, { name: "a", query: "x=2" }], { name: "b", query: "x=3" });
  expect(views).toEqual([{ name: "a", query: "x=2" }, { name: "b", query: "x=3" }]);
});

test("Views are kept for each place by itself.", () => {
  writeViews("episodes", [{ name: "failing", query: "filter=errors%3E0" }]);
  expect(readViews("episodes")).toHaveLength(1);
  expect(readViews("search")).toEqual([]);
});

test("What is no view is passed over.", () => {
  localStorage.setItem("stepstream-views-episodes", '[{"name":"a"},7,{"name":"b","query":"q=1"}]');
  expect(readViews("episodes")).toEqual([{ name: "b", query: "q=1" }]);
  localStorage.setItem("stepstream-views-episodes", "{broken");
  expect(readViews("episodes")).toEqual([]);
});
