/** The first part of the page's React Native code, as an app would paste it, on Bellhop's pushes. */
'use strict';

const assert = require('node:assert');
const fs = require('node:fs');
const path = require('node:path');
const { test } = require('node:test');
const ts = require('typescript');
const ours = require('./ours.js');
const { Phone } = require('./phone.js');
const { before, all } = require('./versions.js');

const PAGE = fs.readFileSync(path.join(__dirname, '..', '..', 'docs', 'client-contract.md'), 'utf8');
const [, CODE] = /^```ts\n(.*?)^```/ms.exec(PAGE);
const { fcm } = ours.pushes;

/** A phone that runs the page's code. Returns what the code registered, showed and sent. */
function app(sdk, { canPostNotifications = true } = {}) {
  const phone = new Phone(sdk, 'android');
  const seen = { phone, shown: [], ids: [], sent: [], handlers: {} };
  const modules = {
    '@notifee/react-native': { default: { displayNotification: async ({ id, title, body }) => seen.shown.push([title, body]) && seen.ids.push(id) } },
    '@react-native-firebase/messaging': {
      getMessaging: () => ({}),
      onMessage: (_, handler) => { seen.handlers.foreground = handler; },
      setBackgroundMessageHandler: (_, handler) => { seen.handlers.background = handler; },
    },
    '@stream-io/react-native-callingx': { CallingxModule: { canPostNotifications } },
    '@stream-io/video-react-native-sdk': {
      ...phone.modules,
      StreamVideoClient: { getOrCreateInstance: () => phone.client() },
    },
  };
  const { outputText } = ts.transpileModule(CODE, {
    compilerOptions: { module: ts.ModuleKind.CommonJS, target: ts.ScriptTarget.ES2022, esModuleInterop: true },
  });
  const globals = {
    require: (name) => ({ __esModule: true, ...modules[name] }),
    exports: {},
    fetch: async (url, { body }) => seen.sent.push([url, JSON.parse(body)]),
    loggedInUser: async () => ({ id: fcm.ring.receiver_id }),
    streamUserToken: async () => 'token',
  };
  new Function(...Object.keys(globals), outputText)(...Object.values(globals));
  return seen;
}

async function deliver(seen, data) {
  const { warn } = console;
  console.warn = () => {};
  await seen.handlers.background({ data });
  await new Promise((done) => setTimeout(done, 30));
  console.warn = warn;
}

for (const sdk of all) {
  test(`${sdk.version}: a ring reaches the SDK, and its receipt Bellhop`, async () => {
    const seen = app(sdk);
    await deliver(seen, fcm.ring);
    if (sdk !== before) assert.ok(await seen.phone.throughTheNativePart(fcm.ring));
    assert.equal(seen.phone.asked.length, 1);
    assert.deepEqual(seen.sent, [['https://bellhop.example.com/v1/receipts', { receipt: fcm.ring.receipt }]]);
    assert.deepEqual(seen.shown, []);
  });

  test(`${sdk.version}: no receipt if the phone may not show the ring`, async () => {
    const seen = app(sdk, { canPostNotifications: false });
    await deliver(seen, fcm.ring);
    assert.deepEqual(seen.sent, []);
  });

  test(`${sdk.version}: notices are shown, a message of another sender is not`, async () => {
    const seen = app(sdk);
    await deliver(seen, fcm.missed);
    await deliver(seen, fcm.notification);
    await deliver(seen, { ...fcm.missed, sender: 'somebody.else' });
    const caller = fcm.missed.created_by_display_name;
    assert.deepEqual(seen.shown, [
      ['Missed call', `You missed a call from ${caller}`],
      [caller, 'invites you to a call'],
    ]);
    assert.deepEqual(seen.ids, [fcm.missed.id, fcm.notification.id]);
    assert.equal(seen.handlers.foreground, seen.handlers.background);
  });
}
