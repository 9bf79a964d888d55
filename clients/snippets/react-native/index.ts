import notifee from "@notifee/react-native";
import { getMessaging, onMessage, setBackgroundMessageHandler } from "@react-native-firebase/messaging";
import type { RemoteMessage } from "@react-native-firebase/messaging";
import { CallingxModule } from "@stream-io/react-native-callingx";
import { StreamVideoClient, StreamVideoRN, firebaseDataHandler } from "@stream-io/video-react-native-sdk";
import { Platform } from "react-native";
import { health, report } from "./bellhop";

const tickets = new Map<string, string>(); // of the calls that ring on this phone

/** What the native part of Stream's SDK did, and what the user does with a call. The SDK gets these events too. */
async function onEvent(name: string, event: any) {
  const ticket = tickets.get(event?.callId);
  if (name === "voipNotificationReceived" && event.bellhop?.receipt) {
    tickets.set(event.stream.call_cid, event.bellhop.receipt);
  } else if (name === "didDisplayIncomingCall" && Platform.OS === "ios") {
    if (!event.errorCode) await report(ticket, "rang", { health: await health() });
    else await report(ticket, "not_shown", { reason: REASONS[event.errorCode] ?? "callkit_error" });
  } else if (name === "answerCall") {
    tickets.delete(event.callId); // from now on, its end is no decline
  } else if (name === "endCall") {
    tickets.delete(event.callId);
    if (event.source === "sys") await report(ticket, "declined"); // "app": the SDK ended it
  }
}

const REASONS: Record<string, string> = { FilteredByDoNotDisturb: "do_not_disturb" }; // CallKit's errors

for (const name of ["voipNotificationReceived", "didDisplayIncomingCall", "answerCall", "endCall"] as const) {
  CallingxModule.addEventListener(name, (event) => onEvent(name, event));
}
// Events from before the app ran are handed out once, and the SDK asks for them: for VoIP pushes only when a user is
// logged in. So read these now and keep them for the SDK, and read the others on their way to it.
const past = CallingxModule.getInitialVoipEvents();
past.forEach(({ eventName, params }) => onEvent(eventName, params));
CallingxModule.getInitialVoipEvents = () => past.splice(0);
const getInitialEvents = CallingxModule.getInitialEvents.bind(CallingxModule);
CallingxModule.getInitialEvents = () => {
  const events = getInitialEvents();
  events.forEach(({ eventName, params }) => onEvent(eventName, params));
  return events;
};

// Name both push providers. Without a name, the SDK shows a ring but does not follow it, and rings on after a cancel
// (on Android from 1.45.0 on). The SDK also registers the phone with Stream under this name.
StreamVideoRN.setPushConfig({
  ios: { pushProviderName: "bellhop" },
  android: { pushProviderName: "bellhop" },
  createStreamVideoClient: async () => {
    const user = await loggedInUser(); // yours; undefined if nobody is logged in
    return user && StreamVideoClient.getOrCreateInstance({ apiKey: "key", user, tokenProvider: streamUserToken });
  },
});

// Firebase keeps one background handler. If your app sets a second one, it replaces this one.
async function onPush({ data, priority }: RemoteMessage) {
  if (data?.sender !== "stream.video") return; // your app's other messages
  const push = data as Record<string, string>;
  if (push.type === "call.ring") {
    // Only if your app never shows a second call (shouldRejectCallWhenBusy). It also stops the user's other phones.
    if (inAnotherCall()) return report(push.receipt, "busy"); // yours
    if (push.receipt) tickets.set(push.call_cid, push.receipt);
    await firebaseDataHandler(data); // up to SDK 1.44 nothing else ends the ring; from 1.45.0 on it does nothing
    const fcm_priority = priority === 1 ? "high" : "normal"; // Firebase's numbers
    const known = await health({ fcm_priority });
    if (CallingxModule.canPostNotifications) await report(push.receipt, "rang", { health: known });
    else await report(push.receipt, "not_shown", { reason: "notifications_off", health: known });
  } else if (push.title) { // every other type
    // The same id for the same notice: if it comes twice, the second replaces the first.
    const { id, title, body } = push;
    await notifee.displayNotification({ id, title, body, android: { channelId: "calls" } });
  }
}

setBackgroundMessageHandler(getMessaging(), onPush);
onMessage(getMessaging(), onPush);
