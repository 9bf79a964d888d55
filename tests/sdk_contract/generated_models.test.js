/**
 * Stream's generated models: do they have the event types and the fields that Bellhop reads, and what is new?
 *
 * expected.json has what is known of the newer version. A new event or field fails a test: decide what Bellhop does
 * with it, then add it there.
 */
'use strict';

const assert = require('node:assert');
const { test } = require('node:test');
const expected = require('./expected.json');
const { Models } = require('./models.js');
const ours = require('./ours.js');
const { before, current, all } = require('./versions.js');

const sorted = (names) => [...names].sort();

for (const sdk of all) {
  const models = new Models(sdk);

  test(`video-client ${sdk.clientVersion} has every event of a call that Bellhop handles`, () => {
    const missing = Object.keys(ours.read).filter((type) => type.startsWith('call.') && !models.events.has(type));
    assert.deepEqual(missing, []);
  });

  test(`video-client ${sdk.clientVersion} has every field that Bellhop reads, but for those known`, () => {
    const missing = new Set();
    for (const [type, paths] of Object.entries(ours.read)) {
      const event = type.startsWith('call.') && models.events.get(type);
      for (const path of event ? paths : []) if (!models.has(event, path)) missing.add(path);
    }
    // Bellhop reads these in every event, if they are there.
    assert.deepEqual(sorted(missing), expected.not_in_the_models);
  });
}

test('Stream has no new event of a call', () => {
  const events = [...new Models(current).events.keys()].filter((type) => type.startsWith('call.'));
  assert.deepEqual(sorted(events), expected.known_events);
});

test('the events that tell of a ring have no new field', () => {
  const models = new Models(current);
  for (const [type, fields] of Object.entries(expected.fields)) {
    assert.deepEqual(sorted(models.fields(models.events.get(type))), fields, type);
  }
  assert.deepEqual(sorted(models.fields(models.named('CallSessionResponse'))), expected.session);
});

test('the state of a ring can be asked for since video-client 1.60', async () => {
  assert.equal(new Models(before).named('GetCallRingStateResponse'), undefined);
  const models = new Models(current);
  assert.deepEqual(sorted(models.fields(models.named('GetCallRingStateResponse'))), expected.ring_state);

  const { StreamVideoClient } = current.client();
  const client = new StreamVideoClient('key');
  const asked = [];
  client.streamClient.get = async (...request) => asked.push(request);
  await client.call('default', 'abc').getRingState('session');
  assert.deepEqual(asked, [['/call/default/abc/ring_state', { call_session_id: 'session' }]]);
  assert.equal(new (before.client().StreamVideoClient)('key').call('default', 'abc').getRingState, undefined);
});

test('a user rejects a ring by the request that Bellhop sends for the user', async () => {
  const { StreamVideoClient } = current.client();
  const client = new StreamVideoClient('key');
  const posted = [];
  client.streamClient.post = async (...request) => posted.push(request);
  await client.call('default', 'abc').reject('decline');
  assert.deepEqual(posted, [['/call/default/abc/reject', { reason: 'decline' }]]);
});
