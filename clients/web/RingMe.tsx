import { useEffect, useState } from "react";
import { type Choice, isSupported, onCall, register } from "./bellhop.js";

type Props = {
  bellhop: string; // https://bellhop.example.com
  token: string; // the Stream user token
  worker?: string; // the URL of bellhop-worker.js, if it is not at the root of your site
  onChoice: (choice: Choice) => void; // the user clicked on a call's notification
};

/** A button that lets this browser ring while the page is closed. It shows nothing if the browser cannot, or already does. */
export function RingMe({ bellhop, token, worker, onChoice }: Props) {
  const [allowed, setAllowed] = useState(() => isSupported() && Notification.permission === "granted");

  useEffect(() => (isSupported() ? onCall(onChoice) : undefined), [onChoice]);

  // At each start: a subscription may have changed.
  useEffect(() => {
    if (allowed) register({ bellhop, token, worker, page: "/call/{cid}?action={action}" }).catch(console.error);
  }, [allowed, bellhop, token, worker]);

  if (!isSupported() || allowed) return null;
  const ask = async () => setAllowed((await Notification.requestPermission()) === "granted");
  return <button onClick={ask}>Ring this browser when somebody calls</button>;
}
