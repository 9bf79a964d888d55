import { getMessaging, getToken, onTokenRefresh } from "@react-native-firebase/messaging";
import { CallingxModule } from "@stream-io/react-native-callingx";
import { Platform } from "react-native";
import { BELLHOP, health } from "./bellhop";

async function register(device: object) {
  await fetch(`${BELLHOP}/users/me/devices`, {
    method: "POST",
    headers: { Authorization: `Bearer ${await streamUserToken()}`, "Content-Type": "application/json" },
    body: JSON.stringify({ ...device, health: await health() }),
  });
}

/** After each log-in, and at every start while a user is logged in. */
export async function registerThisPhone() {
  if (Platform.OS === "ios") {
    const environment = __DEV__ ? "sandbox" : "production";
    // Stream's SDK gets the PushKit token from this module too.
    CallingxModule.addEventListener("voipNotificationsRegistered", ({ token }) =>
      register({ provider: "apns", kind: "voip", token, app: "com.example.calls", environment }));
    CallingxModule.registerVoipToken();
  } else {
    const registerAndroid = (token: string) => register({ provider: "fcm", token, app: "your-firebase-project" });
    onTokenRefresh(getMessaging(), registerAndroid);
    await registerAndroid(await getToken(getMessaging()));
  }
}
