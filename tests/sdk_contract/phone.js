/**
 * A phone with Stream's React Native SDK, under Node.
 *
 * Real: the SDK's push handlers, and the client with its calls and their state. Faked: three modules that are not
 * JavaScript on a phone, and the network. `react-native-callingx` shows the incoming call: its fake records each call.
 */
'use strict';

const Module = require('node:module');
const path = require('node:path');
const ours = require('./ours.js');

const US = ours.pushes.fcm.ring.receiver_id;
const PROVIDER = { pushProviderName: 'bellhop' };
const TASKS = ['acquireBackgroundTask', 'releaseBackgroundTask'];
const IGNORED = new Set(['log', 'setup', 'setShouldRejectCallWhenBusy', ...TASKS]);

/** What the call is at Stream; `session` says who answered, declined or missed it. */
function callAtStream(session = {}, call = {}) {
  const sample = ours.samples['call.ring'][0].call;
  const nobody = { accepted_by: {}, rejected_by: {}, missed_by: {} };
  return { ...sample, ...call, session: { ...sample.session, ...nobody, ...session } };
}

class Phone {
  /** `os` is 'ios' or 'android'; `appState` is 'background' or 'active'. */
  constructor(sdk, os, { appState = 'background', provider = PROVIDER } = {}) {
    this.sdk = sdk;
    this.os = os;
    this.shown = []; // what the SDK did with the incoming call, in order
    this.asked = []; // the paths that the SDK read from Stream
    this.posted = []; // what the SDK sent to Stream
    this.listeners = {};
    this.atStream = callAtStream();
    this.loggedIn = true; // the app can make a client
    this.connected = true; // the client knows its user
    this.modules = this.load(appState);
    this.config = { ios: provider, android: provider, createStreamVideoClient: async () => this.client() };
    this.modules.StreamVideoRN.setPushConfig(this.config);
    // The SDK's index, which needs native modules, sets this global: the calls of the client end the shown call by it.
    globalThis.streamRNVideoSDK = {
      callingX: { endCall: (call, reason) => reason && this.shown.push(['endCallWithReason', call.cid, reason]) },
      callManager: { stop() {} },
    };
    globalThis.navigator ??= { userAgent: '' };
  }

  fakes(appState) {
    const nothing = () => ({ remove() {} });
    const called = (name) => (...given) => {
      if (name.startsWith('getInitial')) return [];
      if (name === 'addEventListener') {
        this.listeners[given[0]] = given[1];
        return { remove() {} };
      }
      if (!IGNORED.has(name)) this.shown.push([name, ...given]);
      return Promise.resolve();
    };
    return {
      'react-native': {
        Platform: { OS: this.os, Version: 34, select: (choice) => choice[this.os] },
        AppState: { currentState: appState, addEventListener: nothing },
        NativeModules: {},
        AppRegistry: { registerHeadlessTask() {} },
      },
      '@stream-io/react-native-callingx': { CallingxModule: new Proxy({}, { get: (_, name) => called(name) }) },
      '@react-native-firebase/messaging': { default: () => ({}) },
    };
  }

  load(appState) {
    const fakes = this.fakes(appState);
    const original = Module._load;
    Module._load = (name, ...rest) => fakes[name] ?? original(name, ...rest);
    try {
      const utils = path.join(this.sdk.root, 'dist', 'commonjs', 'utils');
      for (const file of Object.keys(require.cache)) if (file.startsWith(utils)) delete require.cache[file];
      const { StreamVideoRN } = require(path.join(utils, 'StreamVideoRN'));
      const { firebaseDataHandler } = require(path.join(utils, 'push', 'android.js'));
      return { StreamVideoRN, firebaseDataHandler };
    } finally {
      Module._load = original;
    }
  }

  /** The app's client, if a user is logged in: real, but Stream's REST interface answers from this.atStream. */
  client() {
    if (!this.loggedIn) return undefined;
    const { StreamVideoClient } = this.sdk.client();
    const client = new StreamVideoClient('key');
    Object.assign(client.streamClient, {
      user: { id: US },
      _user: { id: US },
      userID: US,
      get: async (url) => {
        this.asked.push(url);
        return { call: this.atStream, members: [], own_capabilities: [] };
      },
      post: async (url, body) => {
        this.posted.push([url, body]);
        return {};
      },
    });
    if (this.connected) client.writeableStateStore.setConnectedUser({ id: US, name: US });
    const open = client.onRingingCall;
    client.onRingingCall = async (cid) => {
      this.call = await open(cid);
      return this.call;
    };
    return client;
  }

  /** The app's own background handler calls the SDK with the data of a Firebase message. */
  async throughTheApp(data) {
    await quietly(() => this.modules.firebaseDataHandler(data));
    await settled();
  }

  /** The native part of the SDK passes a push on to JavaScript. Returns false if nothing listens. */
  async throughTheNativePart(push) {
    const listener = this.listeners[this.os === 'ios' ? 'voipNotificationReceived' : 'ringCallPushReceived'];
    if (!listener) return false;
    await listener(push);
    await settled();
    return true;
  }

  /** An event of Stream's websocket changes the call's state. */
  async receives(event) {
    this.call.state.updateFromEvent(event);
    this.call.streamClient.dispatchEvent(event);
    await settled();
  }
}

/** Give the code many turns of the event loop. A pause of this process makes them no fewer. */
async function settled() {
  for (let turn = 0; turn < 30; turn += 1) await new Promise((done) => setTimeout(done, 1));
}

async function quietly(work) {
  const { warn } = console;
  console.warn = () => {};
  try {
    return await work();
  } finally {
    console.warn = warn;
  }
}

module.exports = { Phone, callAtStream, settled };
