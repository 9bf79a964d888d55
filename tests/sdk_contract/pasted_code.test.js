/** clients/snippets/react-native as an app would paste it, on Bellhop's pushes. */
'use strict';

const assert = require('node:assert');
const fs = require('node:fs');
const path = require('node:path');
const { test } = require('node:test');
const ts = require('typescript');
const ours = require('./ours.js');
const { Phone, settled } = require('./phone.js');
const { before, all } = require('./versions.js');

const SNIPPETS = path.join(__dirname, '..', '..', 'clients', 'snippets', 'react-native');
const { apns, fcm } = ours.pushes;
const RECEIPTS = 'https://bellhop.example.com/v1/receipts';
const CID = fcm.ring.call_cid;

/** Runs one of the files; the modules are those that it may import. */
function run(file, modules, globals) {
  const code = fs.readFileSync(path.join(SNIPPETS, `${file}.ts`), 'utf8');
  const { outputText } = ts.transpileModule(code, {
    compilerOptions: { module: ts.ModuleKind.CommonJS, target: ts.ScriptTarget.ES2022, esModuleInterop: true },
  });
  const all = { ...globals, exports: {}, require: (name) => ({ __esModule: true, ...modules[name] }) };
  new Function(...Object.keys(all), outputText)(...Object.values(all));
  return all.exports;
}

/** A phone that runs the code. Returns what the code registered, showed and sent. `answers` are Bellhop's statuses. */
function app(sdk, { os = 'android', canPostNotifications = true, busy = false, past = {}, answers = [] } = {}) {
  const phone = new Phone(sdk, os);
  const seen = { phone, shown: [], ids: [], sent: [], handlers: {}, listeners: {} };
  const notifee = {
    displayNotification: async ({ id, title, body }) => seen.shown.push([title, body]) && seen.ids.push(id),
    getNotificationSettings: async () => ({ authorizationStatus: 1 }),
    getChannel: async () => ({ importance: 4 }),
    isBatteryOptimizationEnabled: async () => true,
  };
  const callingx = {
    canPostNotifications,
    addEventListener: (name, listener) => { seen.listeners[name] = listener; },
    getInitialEvents: () => past.events ?? [],
    getInitialVoipEvents: () => [...(past.voip ?? [])],
  };
  seen.callingx = callingx;
  const modules = {
    '@notifee/react-native': {
      default: notifee,
      AuthorizationStatus: { AUTHORIZED: 1 },
      AndroidImportance: { HIGH: 4 },
    },
    '@react-native-firebase/messaging': {
      getMessaging: () => ({}),
      onMessage: (_, handler) => { seen.handlers.foreground = handler; },
      setBackgroundMessageHandler: (_, handler) => { seen.handlers.background = handler; },
    },
    '@stream-io/react-native-callingx': { CallingxModule: callingx },
    '@stream-io/video-react-native-sdk': {
      ...phone.modules,
      StreamVideoClient: { getOrCreateInstance: () => phone.client() },
    },
    'react-native': { Platform: { OS: os, Version: 36, constants: os === 'android' ? { Release: '16' } : {} } },
  };
  const globals = {
    setTimeout: (work, ms) => setTimeout(work, ms / 1000), // a thousand times as fast
    fetch: async (url, { body }) => {
      seen.sent.push([url, JSON.parse(body)]);
      const status = answers.shift() ?? 204;
      if (status === 0) throw new TypeError('Network request failed');
      return { status };
    },
    loggedInUser: async () => ({ id: fcm.ring.receiver_id }),
    streamUserToken: async () => 'token',
    inAnotherCall: () => busy,
  };
  modules['./bellhop'] = seen.bellhop = run('bellhop', modules, globals);
  run('index', modules, globals);
  seen.events = () => seen.sent.map(([url, { receipt, event }]) => [url, receipt, event]);
  return seen;
}

/** Wait for that many reports. */
async function reports(seen, count) {
  while (seen.sent.length < count) await new Promise((done) => setTimeout(done, 1));
}

async function deliver(seen, data, priority = 1) {
  const { warn } = console;
  console.warn = () => {};
  await seen.handlers.background({ data, priority });
  await settled();
  console.warn = warn;
}

for (const sdk of all) {
  test(`${sdk.version}: a ring reaches the SDK, and its receipt Bellhop`, async () => {
    const seen = app(sdk);
    await deliver(seen, fcm.ring);
    if (sdk !== before) assert.ok(await seen.phone.throughTheNativePart(fcm.ring));
    assert.equal(seen.phone.asked.length, 1);
    const [[url, { receipt, event, at, health }], ...more] = seen.sent;
    assert.deepEqual([url, receipt, event, more], [RECEIPTS, fcm.ring.receipt, 'rang', []]);
    assert.ok(Math.abs(Date.now() - at) < 60_000);
    assert.deepEqual(health, {
      os: 'android', os_version: '16', sdk: 'react-native', notifications: 'allowed', fcm_priority: 'high',
      channel_importance: 'high', battery_optimised: true,
    });
    assert.deepEqual(seen.shown, []);
  });

  test(`${sdk.version}: a ring that the phone may not show is reported so`, async () => {
    const seen = app(sdk, { canPostNotifications: false });
    await deliver(seen, fcm.ring, 2);
    const [[, { event, reason, health }]] = seen.sent;
    assert.deepEqual([event, reason, health.fcm_priority], ['not_shown', 'notifications_off', 'normal']);
  });

  test(`${sdk.version}: the user's decline is reported once, the SDK's own end and a hang-up are not`, async () => {
    const seen = app(sdk);
    const end = (source) => seen.listeners.endCall({ callId: CID, source, cause: '' });
    await deliver(seen, fcm.ring);
    end('sys');
    end('sys');
    await reports(seen, 2);
    await deliver(seen, fcm.ring);
    end('app');
    await deliver(seen, fcm.ring);
    seen.listeners.answerCall({ callId: CID, source: 'sys' });
    end('sys');
    await reports(seen, 4);
    assert.deepEqual(seen.events().map(([, , event]) => event), ['rang', 'declined', 'rang', 'rang']);
    assert.deepEqual(seen.events()[1], [RECEIPTS, fcm.ring.receipt, 'declined']);
  });

  test(`${sdk.version}: an iPhone reports what CallKit said, also if that was before the app ran`, async () => {
    const voip = { eventName: 'voipNotificationReceived', params: apns.ring };
    const displayed = (errorCode) => ({ eventName: 'didDisplayIncomingCall', params: { callId: CID, errorCode } });
    const cases = [
      ['', 'rang', undefined],
      ['FilteredByDoNotDisturb', 'not_shown', 'do_not_disturb'],
      ['Unentitled', 'not_shown', 'callkit_error'],
    ];
    for (const [errorCode, expected, reason] of cases) {
      const late = app(sdk, { os: 'ios', past: { events: [displayed(errorCode)], voip: [voip] } });
      assert.deepEqual(late.callingx.getInitialEvents(), [displayed(errorCode)]);
      assert.deepEqual(late.callingx.getInitialVoipEvents(), [voip], 'the SDK gets it too');
      assert.deepEqual(late.callingx.getInitialVoipEvents(), []);
      const live = app(sdk, { os: 'ios' });
      live.listeners.voipNotificationReceived(voip.params);
      live.listeners.didDisplayIncomingCall(displayed(errorCode).params);
      for (const seen of [late, live]) {
        await reports(seen, 1);
        assert.deepEqual(seen.events(), [[RECEIPTS, apns.ring.bellhop.receipt, expected]]);
        assert.equal(seen.sent[0][1].reason, reason);
      }
    }
  });

  test(`${sdk.version}: a decline from before the app ran is reported, without a login`, async () => {
    const voip = { eventName: 'voipNotificationReceived', params: apns.ring };
    const end = { eventName: 'endCall', params: { callId: CID, source: 'sys', cause: '' } };
    const seen = app(sdk, { os: 'ios', past: { events: [end], voip: [voip] } });
    seen.callingx.getInitialEvents();
    await reports(seen, 1);
    assert.deepEqual(seen.events(), [[RECEIPTS, apns.ring.bellhop.receipt, 'declined']]);
  });

  test(`${sdk.version}: a phone that refuses a second call says so, and shows nothing`, async () => {
    const seen = app(sdk, { busy: true });
    await deliver(seen, fcm.ring);
    assert.deepEqual(seen.events(), [[RECEIPTS, fcm.ring.receipt, 'busy']]);
    assert.deepEqual(seen.phone.asked, []);
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

test('a report is tried a few times, but not after an answer that says no', async () => {
  const tries = async (answers) => {
    const seen = app(before, { answers });
    await seen.bellhop.report('a.ticket', 'declined');
    const [{ at }] = seen.sent.map(([, body]) => body);
    assert.ok(seen.sent.every(([, body]) => body.at === at), 'it is when it happened, not when it was sent');
    return seen.sent.length;
  };
  assert.equal(await tries([204]), 1);
  assert.equal(await tries([403, 204]), 1);
  assert.equal(await tries([422, 204]), 1);
  assert.equal(await tries([0, 503, 204]), 3);
  assert.equal(await tries([429, 204]), 1);
  assert.equal(await tries([0, 0, 0, 204]), 3);
});

for (const os of ['android', 'ios']) {
  test(`${os}: log-out removes what log-in has registered, and new tokens are not registered any more`, async () => {
    const sent = [];
    const listeners = new Set();
    const follow = (listener) => {
      listeners.add(listener);
      return () => listeners.delete(listener);
    };
    const modules = {
      '@react-native-firebase/messaging': {
        getMessaging: () => ({}), getToken: async () => 'token', onTokenRefresh: (_, listener) => follow(listener),
      },
      '@stream-io/react-native-callingx': {
        CallingxModule: {
          addEventListener: (_, listener) => ({ remove: follow(listener) }),
          registerVoipToken: () => listeners.forEach((listener) => listener({ token: 'token' })),
        },
      },
      'react-native': { Platform: { OS: os } },
      './bellhop': { BELLHOP: 'https://bellhop.example.com/v1', health: async () => ({}) },
    };
    const globals = {
      __DEV__: false,
      streamUserToken: async () => 'user',
      fetch: async (url, { method }) => {
        sent.push(`${method} ${new URL(url).pathname}`);
        return { ok: true, json: async () => ({ id: 'a1' }) };
      },
    };
    const { registerThisPhone, unregisterThisPhone } = run('devices', modules, globals);
    await registerThisPhone();
    await registerThisPhone();
    await settled();
    assert.equal(listeners.size, 1);
    await unregisterThisPhone();
    const devices = '/v1/users/me/devices';
    assert.deepEqual(sent, [`POST ${devices}`, `POST ${devices}`, `DELETE ${devices}/a1`]);
    assert.equal(listeners.size, 0);
  });
}
