/** npm's `standardwebhooks`, and the JavaScript of docs/events.md, verify what Bellhop sends to a team's backend. */
'use strict';

const assert = require('node:assert');
const { execFileSync } = require('node:child_process');
const fs = require('node:fs');
const path = require('node:path');
const { test } = require('node:test');
const { Webhook } = require('standardwebhooks');

const root = path.join(__dirname, '..', '..');
const python = path.join(root, '.venv', 'bin', 'python');
const env = { ...process.env, PYTHONPATH: root };
const { secrets, requests } = JSON.parse(
  execFileSync(python, [path.join(__dirname, 'signed_events.py')], { cwd: root, env })
);
const page = fs.readFileSync(path.join(root, 'docs', 'events.md'), 'utf8');
const [, code] = page.match(/```js\n([\s\S]*?)```/);

test('each type of event is verified with each secret', () => {
  assert.strictEqual(requests.length, 7);
  for (const { headers, body } of requests) {
    for (const secret of secrets) {
      const event = new Webhook(secret).verify(body, headers);
      assert.strictEqual(event.id, headers['webhook-id']);
    }
  }
});

test('another secret, body, id or time is refused', () => {
  const [{ headers, body }] = requests;
  const webhook = new Webhook(secrets[0]);
  const wrong = [
    [body.replace('ring', 'bing'), headers],
    [body, { ...headers, 'webhook-id': 'evt_other' }],
    [body, { ...headers, 'webhook-timestamp': String(Number(headers['webhook-timestamp']) - 600) }],
    [body, { ...headers, 'webhook-signature': '' }],
  ];
  for (const [text, given] of wrong) assert.throws(() => webhook.verify(text, given));
  assert.throws(() => new Webhook(`whsec_${Buffer.alloc(32).toString('base64')}`).verify(body, headers));
});

test('the code of the page reads an event once, and refuses a forged one', async () => {
  const handled = [];
  const seen = new Set();
  const given = {
    require,
    process: { env: { EVENT_SECRET: secrets[1] } },
    isNew: async (id) => !seen.has(id) && seen.add(id),
    handle: async (event) => handled.push(event.type),
  };
  const receive = new Function(...Object.keys(given), `${code}\nreturn receive;`)(...Object.values(given));
  for (const { headers, body } of [...requests, requests[0]]) assert.strictEqual(await receive(body, headers), 204);
  assert.strictEqual(handled.length, requests.length);
  assert.strictEqual(await receive(requests[0].body, { ...requests[0].headers, 'webhook-id': 'evt_other' }), 400);
});
