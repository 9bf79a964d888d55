/** npm's http_ece, which is not ours, decrypts every push that Bellhop encrypts for a browser. */
'use strict';

const assert = require('node:assert');
const crypto = require('node:crypto');
const ece = require('http_ece');
const { test } = require('node:test');
const { encrypted, pushes } = require('./ours.js');

const browser = crypto.createECDH('prime256v1');
browser.setPrivateKey(Buffer.from(encrypted.private_key, 'base64url'));

function read(body) {
  return ece.decrypt(body, { version: 'aes128gcm', privateKey: browser, authSecret: encrypted.auth });
}

for (const [kind, body] of Object.entries(encrypted.bodies)) {
  test(`a ${kind} push is decrypted to what was sent`, () => {
    assert.deepEqual(JSON.parse(read(Buffer.from(body, 'base64url'))), pushes.webpush[kind]);
  });
}

test('the largest text fits into one record of 4,096 bytes', () => {
  const body = Buffer.from(encrypted.largest, 'base64url');
  assert.equal(body.length, 4_096);
  assert.equal(read(body).length, 3_993);
});

test('a message that was changed on its way is not decrypted', () => {
  const body = Buffer.from(encrypted.bodies.ring, 'base64url');
  body[body.length - 1] ^= 1;
  assert.throws(() => read(body));
});
