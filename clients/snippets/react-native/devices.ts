import { getMessaging, getToken, onTokenRefresh } from "@react-native-firebase/messaging";
import { CallingxModule } from "@stream-io/react-native-callingx";
import { Platform } from "react-native";
import { BELLHOP, health } from "./bellhop";

const deviceIds = new Set<string>(); // Bellhop's names of this phone's tokens
let stop = () => {}; // following new tokens

async function request(method: string, path: string, body?: object) {
  const headers = { Authorization: `Bearer ${await streamUserToken()}`, "Content-Type": "application/json" };
  return fetch(`${BELLHOP}/users/me/devices${path}`, { method, headers, body: body && JSON.stringify(body) });
}

async function register(device: object) {
  const answer = await request("POST", "", { ...device, health: await health() });
  if (answer.ok) deviceIds.add((await answer.json()).id);
}

/** After each log-in, and at every start while a user is logged in. */
export async function registerThisPhone() {
  stop();
  if (Platform.OS === "ios") {
    const environment = __DEV__ ? "sandbox" : "production";
    // Stream's SDK gets the PushKit token from this module too.
    const listener = CallingxModule.addEventListener("voipNotificationsRegistered", ({ token }) =>
      register({ provider: "apns", kind: "voip", token, app: "com.example.calls", environment }));
    stop = () => listener.remove();
    CallingxModule.registerVoipToken();
  } else {
    const registerAndroid = (token: string) => register({ provider: "fcm", token, app: "your-firebase-project" });
    stop = onTokenRefresh(getMessaging(), registerAndroid);
    await registerAndroid(await getToken(getMessaging()));
  }
}

/** At log-out, while the user's token is still valid. Without it, this phone rings for this user as before. */
export async function unregisterThisPhone() {
  stop();
  for (const id of deviceIds) {
    await request("DELETE", `/${id}`);
    deviceIds.delete(id);
  }
}
