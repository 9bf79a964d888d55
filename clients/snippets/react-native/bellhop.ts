import notifee, { AndroidImportance, AuthorizationStatus } from "@notifee/react-native";
import { Platform } from "react-native";

export const BELLHOP = "https://bellhop.example.com/v1";
const TIMEOUT_MS = 5_000;
const PAUSES_MS = [0, 1_000, 3_000]; // before each try; all tries together end long before the ring does

export type RingEvent = "rang" | "declined" | "busy" | "dismissed" | "not_shown";
type More = { reason?: string; health?: object };

/**
 * Tells Bellhop what happened to a ring. Needs no login: the ticket from the push is the only key. Never throws.
 * `ticket` is undefined if receipts are off.
 */
export async function report(ticket: string | undefined, event: RingEvent, more: More = {}) {
  if (!ticket) return;
  const body = JSON.stringify({ receipt: ticket, event, at: Date.now(), ...more });
  for (const pause of PAUSES_MS) {
    await new Promise((done) => setTimeout(done, pause));
    const controller = new AbortController();
    const timer = setTimeout(() => controller.abort(), TIMEOUT_MS);
    try {
      const headers = { "Content-Type": "application/json" };
      const request = { method: "POST", headers, body, signal: controller.signal };
      const { status } = await fetch(`${BELLHOP}/receipts`, request);
      // 204: recorded. 4xx: the ring is over, or the ticket is not valid. Repeating does not help.
      if (status < 500) return;
    } catch {
      // No network, or no answer in time: try again.
    } finally {
      clearTimeout(timer);
    }
  }
}

const NOTIFICATIONS = {
  [AuthorizationStatus.AUTHORIZED]: "allowed",
  [AuthorizationStatus.DENIED]: "denied",
  [AuthorizationStatus.NOT_DETERMINED]: "not_asked",
  [AuthorizationStatus.PROVISIONAL]: "quiet",
};

const IMPORTANCES = {
  [AndroidImportance.NONE]: "none",
  [AndroidImportance.MIN]: "min",
  [AndroidImportance.LOW]: "low",
  [AndroidImportance.DEFAULT]: "default",
  [AndroidImportance.HIGH]: "high",
};

/** What decides on this phone whether a call rings. `fcm_priority`: "high" or "normal", as the push came. */
export async function health(more: { fcm_priority?: string } = {}): Promise<object> {
  const os_version = Platform.constants.Release ?? String(Platform.Version); // Android: Version is the API level
  const known = { os: Platform.OS, os_version, sdk: "react-native", ...more };
  try {
    const { authorizationStatus } = await notifee.getNotificationSettings();
    const allowed = { ...known, notifications: NOTIFICATIONS[authorizationStatus] };
    if (Platform.OS === "ios") return allowed;
    const channel = await notifee.getChannel("incoming_calls_channel"); // the SDK's; yours if you set incomingChannel
    return {
      ...allowed,
      battery_optimised: await notifee.isBatteryOptimizationEnabled(),
      channel_importance: channel?.importance === undefined ? undefined : IMPORTANCES[channel.importance],
    };
  } catch {
    return known; // a report counts more than its health
  }
}
