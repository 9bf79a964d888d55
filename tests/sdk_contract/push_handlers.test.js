/** Stream's own push handlers on Bellhop's pushes: when does the SDK end a ring by itself, and who must call it? */
'use strict';

const assert = require('node:assert');
const { test } = require('node:test');
const ours = require('./ours.js');
const { Phone, callAtStream } = require('./phone.js');
const { before, current, all } = require('./versions.js');

const RING = { ios: ours.pushes.apns.ring, android: ours.pushes.fcm.ring };
const CID = ours.pushes.fcm.ring.call_cid;
const CALLER = ours.pushes.fcm.ring.created_by_id;
const US = ours.pushes.fcm.ring.receiver_id;
const AT = '2026-11-18T09:30:05Z';
const ended = (reason) => [['endCallWithReason', CID, reason]];

/** Deliver a push the way that this version of the SDK needs it. */
async function deliver(phone, push) {
  if (phone.os === 'android' && phone.sdk === before) await phone.throughTheApp(push);
  else assert.ok(await phone.throughTheNativePart(push));
}

async function ring(sdk, os, session, call) {
  const phone = new Phone(sdk, os);
  phone.atStream = callAtStream(session, call);
  await deliver(phone, RING[os]);
  return phone;
}

for (const sdk of all) {
  for (const os of ['ios', 'android']) {
    const when = (name, work) => test(`${sdk.version} ${os}: ${name}`, work);

    when('a ring goes on while nobody has answered', async () => {
      const phone = await ring(sdk, os);
      assert.deepEqual(phone.asked, [`/call/default/${CID.split(':')[1]}`]);
      assert.deepEqual([phone.shown, phone.posted], [[], []]);
    });

    when('a ring that the caller cancelled is ended', async () => {
      const { shown } = await ring(sdk, os, { rejected_by: { [CALLER]: AT } });
      assert.deepEqual(shown, ended('canceled'));
    });

    when('a ring of a call that is over is ended', async () => {
      assert.deepEqual((await ring(sdk, os, {}, { ended_at: AT })).shown, ended('remote'));
    });

    when('an answer or a decline on another device ends the ring', async () => {
      // The same makes a phone silent when the user is rung again in the same session.
      assert.deepEqual((await ring(sdk, os, { accepted_by: { [US]: AT } })).shown, ended('answeredElsewhere'));
      assert.deepEqual((await ring(sdk, os, { rejected_by: { [US]: AT } })).shown, ended('rejected'));
    });

    when('only a connected client sees these; the push handler looks at the caller alone', async () => {
      for (const session of [{ accepted_by: { [US]: AT } }, { rejected_by: { [US]: AT } }]) {
        const phone = new Phone(sdk, os);
        phone.connected = false;
        phone.atStream = callAtStream(session);
        await deliver(phone, RING[os]);
        assert.deepEqual(phone.shown, []);
      }
    });

    when('a ring goes on for a user who is listed as having missed it', async () => {
      assert.deepEqual((await ring(sdk, os, { missed_by: { [US]: AT } })).shown, []);
    });

    when('what the websocket brings later ends the ring, and the phone rejects nothing', async () => {
      const cancel = ours.samples['call.rejected'].find(({ user }) => user.id === CALLER);
      const answer = { ...ours.samples['call.accepted'][0], user: { id: US } };
      const events = [
        [{ ...cancel, call: callAtStream({ rejected_by: { [CALLER]: AT } }) }, 'canceled'],
        [{ ...answer, call: callAtStream({ accepted_by: { [US]: AT } }) }, 'answeredElsewhere'],
        [{ ...ours.samples['call.ended'][0], call: callAtStream({}, { ended_at: AT }) }, 'remote'],
      ];
      for (const [event, reason] of events) {
        const phone = await ring(sdk, os);
        await phone.receives({ ...event, call_cid: CID });
        assert.deepEqual(phone.shown[0], ended(reason)[0]);
        assert.deepEqual(phone.posted, []);
      }
    });

    when('a second push of the same call changes nothing', async () => {
      const phone = await ring(sdk, os);
      await deliver(phone, RING[os]);
      assert.equal(phone.asked.length, os === 'android' && sdk === before ? 2 : 1);
      assert.deepEqual(phone.shown, []);
    });

    if (os === 'ios' || sdk === current) {
      when('without a name of a push provider nothing watches the ring', async () => {
        const phone = new Phone(sdk, os, { provider: {} });
        assert.equal(await phone.throughTheNativePart(RING[os]), false);
      });
    }

    when('a push of somebody else is left alone', async () => {
      const phone = new Phone(sdk, os);
      const other = { sender: 'somebody.else', type: 'other', call_cid: CID };
      await deliver(phone, os === 'ios' ? { aps: {}, stream: other } : other);
      assert.deepEqual(phone.asked, []);
    });
  }

  for (const kind of ['missed', 'notification']) {
    test(`${sdk.version} android: the SDK shows nothing for call.${kind}`, async () => {
      const phone = new Phone(sdk, 'android');
      await deliver(phone, ours.pushes.fcm[kind]);
      assert.deepEqual([phone.asked, phone.shown], [[], []]);
    });
  }

  test(`${sdk.version} android: nobody is logged in`, async () => {
    const phone = new Phone(sdk, 'android');
    phone.loggedIn = false;
    await deliver(phone, RING.android);
    assert.deepEqual(phone.shown, sdk === before ? [['stopService']] : [...ended('error'), ['stopService']]);
  });

  test(`${sdk.version} ios: nobody is logged in, and CallKit rings on`, async () => {
    const phone = new Phone(sdk, 'ios');
    phone.loggedIn = false;
    await deliver(phone, RING.ios);
    assert.deepEqual(phone.shown, []);
  });
}

test('up to 1.44 only the app can hand an Android ring to the SDK', async () => {
  const phone = new Phone(before, 'android');
  assert.equal(await phone.throughTheNativePart(RING.android), false);
  await phone.throughTheApp(RING.android);
  assert.equal(phone.asked.length, 1);
});

test('from 1.45 the native part hands it over, and firebaseDataHandler does nothing', async () => {
  const phone = new Phone(current, 'android');
  await phone.throughTheApp(RING.android);
  assert.deepEqual(phone.asked, []);
  assert.equal(await phone.throughTheNativePart(RING.android), true);
  assert.equal(phone.asked.length, 1);
});
