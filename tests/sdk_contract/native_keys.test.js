/**
 * The keys of a push that Stream's packages read are keys that Bellhop sends.
 *
 * JavaScript is run and watched. Kotlin, Java, Objective-C and Swift are searched. What shows the call is in
 * `react-native-callingx`; if the package registry does not have it, expected.json says what its sources read.
 */
'use strict';

const assert = require('node:assert');
const fs = require('node:fs');
const path = require('node:path');
const { test } = require('node:test');
const expected = require('./expected.json');
const ours = require('./ours.js');
const { Phone } = require('./phone.js');
const { before, all } = require('./versions.js');

const RING = { ios: ours.pushes.apns.ring.stream, android: ours.pushes.fcm.ring };
const READS = /\b(?:data|payload|pushData|streamPayload)\??\[@?"([a-z]+(?:_[a-z]+)*)"\]/g;
const LANGUAGES = new Set(['.java', '.kt', '.m', '.mm', '.swift']);
const callingx = path.join(__dirname, 'node_modules', '@stream-io', 'react-native-callingx');

function keysInSources(folder) {
  const keys = new Set();
  if (!fs.existsSync(folder)) return keys;
  for (const entry of fs.readdirSync(folder, { recursive: true })) {
    if (!LANGUAGES.has(path.extname(entry))) continue;
    const text = fs.readFileSync(path.join(folder, entry), 'utf8');
    if (!text.includes('call_cid')) continue; // it has nothing to do with pushes
    for (const [, key] of text.matchAll(READS)) keys.add(key);
  }
  return keys;
}

function watched(push, read) {
  return new Proxy(push, {
    get(target, key) {
      if (typeof key === 'string') read.add(key);
      return target[key];
    },
  });
}

for (const sdk of all) {
  test(`${sdk.version}: the JavaScript reads only keys that are sent`, async () => {
    for (const os of ['ios', 'android']) {
      const read = new Set();
      const push = watched(RING[os], read);
      const phone = new Phone(sdk, os);
      if (os === 'ios') await phone.throughTheNativePart({ aps: {}, stream: push });
      else if (sdk === before) await phone.throughTheApp(push);
      else await phone.throughTheNativePart(push);
      assert.deepEqual([...read].sort(), ['call_cid', 'created_by_id', 'receiver_id', 'sender', 'type']);
      assert.deepEqual([...read].filter((key) => !(key in RING[os])), []);
    }
  });

  test(`${sdk.version}: the native sources of the SDK itself read no key of a push`, () => {
    for (const os of ['ios', 'android']) assert.deepEqual([...keysInSources(path.join(sdk.root, os))], []);
  });
}

for (const os of ['ios', 'android']) {
  test(`${os}: every key that native code reads is sent, as a string`, () => {
    for (const key of expected.native_keys[os]) assert.equal(typeof RING[os][key], 'string', key);
  });

  const missing = !fs.existsSync(callingx) && 'the package registry does not have react-native-callingx';
  test(`${os}: the native sources read the keys that are known, and none that is not sent`, { skip: missing }, () => {
    const keys = keysInSources(path.join(callingx, os));
    assert.deepEqual(expected.native_keys[os].filter((key) => !keys.has(key)), []);
    assert.deepEqual([...keys].filter((key) => key !== 'stream' && !(key in RING[os])), []);
  });
}

test('the search finds the reads of each language', () => {
  const reads = ['data["call_cid"]', 'streamPayload[@"created_by_id"]', 'payload["video"] as? String'].join('\n');
  assert.deepEqual([...reads.matchAll(READS)].map(([, key]) => key), ['call_cid', 'created_by_id', 'video']);
});
