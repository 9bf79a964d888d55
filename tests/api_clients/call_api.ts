/** Calls Bellhop with the types that openapi-typescript made: URL, API key, server token, token of user jane. */
import assert from "node:assert/strict";

import createClient from "openapi-fetch";

import type { components, paths } from "./schema.js";

const [url, apiKey, serverToken, userToken] = process.argv.slice(2) as [string, string, string, string];
const clientFor = (token: string) =>
  createClient<paths>({ baseUrl: url, headers: { authorization: `Bearer ${token}`, "x-api-key": apiKey } });
const backend = clientFor(serverToken);
const app = clientFor(userToken);
const me = { path: { user_id: "me" } };

const phone: components["schemas"]["FcmRegistration"] = {
  app: "example-calls", provider: "fcm", token: "jane:pixel", name: "Jane's Pixel", platform: "android",
};
const registered = await app.POST("/v1/users/{user_id}/devices", { params: me, body: phone });
assert(registered.data);
const platform: "android" | "ios" | undefined | null = registered.data.platform;
assert.equal(platform, "android");
const listed = await backend.GET("/v1/users/{user_id}/devices", { params: { path: { user_id: "jane" } } });
assert(listed.data?.devices.some((device) => device.id === registered.data.id));

const calls = await app.GET("/v1/users/{user_id}/calls", { params: { ...me, query: { missed: true } } });
assert(calls.data);
const cursor: string | null = calls.data.next;
assert.equal(cursor, null);
const outcomes: components["schemas"]["OwnOutcome"][] = calls.data.calls.map((call) => call.outcome);
assert.deepEqual(outcomes, []);

const reachable = await app.GET("/v1/users/{user_id}/reachability", { params: me });
const word: "yes" | "maybe" | "no" | undefined = reachable.data?.rings;
assert(word);
const unknown = await backend.GET("/v1/calls/{cid}", { params: { path: { cid: "default:no-such-call" } } });
assert(unknown.error && "found" in unknown.error && !unknown.error.found);

const refused = await app.GET("/v1/users/{user_id}/devices", { params: { path: { user_id: "ben" } } });
assert(refused.error);
const type: components["schemas"]["ProblemType"] = refused.error.type;
assert.equal(type, "urn:bellhop:problem:another-user");
const invalid = await app.PUT("/v1/users/{user_id}/preferences", {
  params: me, body: { always_from: ["with a blank"] },
});
assert.equal(invalid.error?.errors?.[0]?.pointer, "#/always_from/0");
