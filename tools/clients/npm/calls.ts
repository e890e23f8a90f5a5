// Calls the service with a client whose types openapi-typescript generated.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import createClient from "openapi-fetch";
import type { components, paths } from "./description.js";

type Line = components["schemas"]["Line"];

function variable(name: string): string {
  const value = process.env[name];
  assert.ok(value, `want the environment variable ${name}`);
  return value;
}

const client = createClient<paths>({ baseUrl: variable("SERVICE") });
const limited = createClient<paths>({ baseUrl: variable("LIMITED") });
const read = (name: string) => new Blob([readFileSync(`${variable("IMAGES")}/${name}`)]);
const model = { model: "selective_search" as const };

// The types have files as strings. A blob is sent as it is, and a form in the way of fetch.
const image = (name: string) => ({ body: name, bodySerializer: () => read(name), headers: { "Content-Type": "application/octet-stream" } });

function form(fields: Record<string, string | Blob | Blob[]>): FormData {
  const data = new FormData();
  for (const [name, value] of Object.entries(fields)) {
    for (const item of Array.isArray(value) ? value : [value]) {
      item instanceof Blob ? data.append(name, item, name) : data.append(name, item);
    }
  }
  return data;
}

test("proposals", async () => {
  const query = { mode: "single", max: 5, evidence: "1" } as const;
  const { data, error, response } = await client.POST("/v1/proposals", { params: { query }, ...image("a.png") });
  assert.equal(error, undefined);
  assert.ok(data && typeof data === "object" && "boxes" in data);
  assert.equal(data.boxes.length, 5);
  assert.equal(data.scores.length, 5);
  assert.ok(data.evidence?.[0]?.birth !== undefined);
  const etag = response.headers.get("ETag");
  assert.ok(etag);
  const again = await client.POST("/v1/proposals", { params: { query, header: { "If-None-Match": etag } }, ...image("a.png") });
  assert.equal(again.response.status, 304);
  for (const media of ["text/csv", "application/x-npy", "application/octet-stream", "image/png", "image/jpeg"]) {
    const request = image("a.png");
    const { data, response } = await client.POST("/v1/proposals", {
      params: { query: { mode: "single" } }, ...request, headers: { ...request.headers, Accept: media }, parseAs: "arrayBuffer",
    });
    assert.equal(response.headers.get("Content-Type"), media);
    assert.ok(data && data.byteLength > 0);
  }
});

test("a form with several images", async () => {
  const body = form({ image: [read("a.png"), read("broken.png"), read("b.png")], options: `{"mode":"single","max":3}` });
  const { data, response } = await client.POST("/v1/proposals", {
    body: { image: [] }, bodySerializer: () => body, parseAs: "text",
  });
  assert.equal(response.headers.get("Content-Type"), "application/x-ndjson");
  const lines = data!.trim().split("\n").map((line) => JSON.parse(line) as Line);
  lines.sort((a, b) => a.index! - b.index!);
  assert.deepEqual(
    lines.map((line) => ("problem" in line ? line.problem.type : line.boxes.length)),
    [3, "urn:proposer:problem:picture", 3],
  );
});

test("a minibatch", async () => {
  const body = form({ image: read("a.png"), truth: `{"boxes":[[4,4,40,40]],"classes":[3]}` });
  const { data } = await client.POST("/v1/rois", {
    params: { query: { size: 16, "rois-seed": 7 } }, body: { image: "", truth: { boxes: [] } }, bodySerializer: () => body,
  });
  assert.equal(data?.seed, 7);
  data.labels.forEach((label, i) => assert.equal(label === 1, data.deltas[i] !== null));
});

test("segments", async () => {
  const request = image("a.png");
  const { data } = await client.POST("/v1/segments", {
    params: { query: { k: 50, connectivity: 4 } }, ...request, headers: { ...request.headers, Accept: "application/json" },
  });
  assert.ok(data && typeof data === "object" && data.regions > 0);
  const png = await client.POST("/v1/segments", {
    body: { image: "" }, bodySerializer: () => form({ image: read("a.png") }), parseAs: "arrayBuffer",
  });
  assert.equal(png.response.headers.get("Content-Type"), "image/png");
});

test("information", async () => {
  assert.equal((await client.GET("/v1/modes")).data?.default_mode, "fast");
  assert.equal((await client.GET("/v2")).data?.name, "proposer");
  assert.equal((await client.GET("/v2/health/live")).data?.live, true);
  assert.equal((await client.GET("/v2/health/ready")).data?.ready, true);
  assert.equal((await client.GET("/v2/models/{model}", { params: { path: model } })).data?.outputs.length, 2);
  const version = { ...model, version: "1" as const };
  assert.equal((await client.GET("/v2/models/{model}/versions/{version}/ready", { params: { path: version } })).data?.ready, true);
  assert.equal((await client.GET("/healthz", { parseAs: "text" })).data, "alive\n");
});

test("inference", async () => {
  const data = Buffer.from(await read("a.png").arrayBuffer()).toString("base64");
  const body = {
    id: "7",
    inputs: [{ name: "image" as const, datatype: "BYTES" as const, shape: [1], data: [data] }],
    parameters: { mode: "single", max: 5 },
  };
  const ok = await client.POST("/v2/models/{model}/infer", { params: { path: model }, body });
  assert.ok(ok.data && typeof ok.data === "object");
  assert.equal(ok.data.outputs[0]?.data?.length, 20);
  const binary = await client.POST("/v2/models/{model}/infer", {
    params: { path: model, header: { "Inference-Header-Content-Length": 0 } }, ...image("a.png"), parseAs: "arrayBuffer",
  });
  assert.ok(Number(binary.response.headers.get("Inference-Header-Content-Length")) > 0);
  const failed = await client.POST("/v2/models/{model}/infer", { params: { path: model }, body: { ...body, parameters: { mode: "slow" } } });
  assert.equal(failed.response.status, 400);
  assert.match(failed.error!.error, /mode/);
});

test("problems", async () => {
  const mode = "slow" as "fast";
  const options = await client.POST("/v1/proposals", { params: { query: { mode, max: -1 } }, ...image("a.png") });
  assert.equal(options.error?.type, "urn:proposer:problem:option");
  assert.deepEqual(options.error.errors?.map((e) => e.name).sort(), ["max", "mode"]);
  assert.equal((await client.POST("/v1/proposals", image("text.txt"))).error?.type, "urn:proposer:problem:format");
  assert.equal((await client.POST("/v1/proposals", image("broken.png"))).error?.type, "urn:proposer:problem:picture");

  // One request a minute, with a token.
  assert.equal((await limited.POST("/v1/proposals", image("a.png"))).error?.type, "urn:proposer:problem:token");
  const request = image("a.png");
  const headers = { ...request.headers, Authorization: "Bearer secret" };
  for (let i = 0; i < 3; i++) {
    const { error, response } = await limited.POST("/v1/proposals", { ...request, headers });
    if (response.status === 429) {
      assert.equal(error?.type, "urn:proposer:problem:rate");
      assert.ok(Number(response.headers.get("Retry-After")) >= 1);
      return;
    }
  }
  assert.fail("the rate is not limited");
});
