/** What every function needs to reach Bellhop. */
export interface Access {
  /** Where Bellhop's /v1 is, such as https://bellhop.example.com. */
  bellhop: string;
  /** The Stream user token. */
  token: string;
  /** The Stream app's API key, if Bellhop serves several apps. */
  apiKey?: string;
  /** The URL of bellhop-worker.js on your site; without it, /bellhop-worker.js. */
  worker?: string;
}

export interface Registration extends Access {
  /** The page to open for a call, such as "/call/{cid}?action={action}". */
  page?: string;
  /** The words on the buttons, in the user's language. */
  words?: { answer?: string; decline?: string };
  /** The web app, if Bellhop has several. */
  app?: string;
  /** What users call this browser. */
  name?: string;
}

/** The push as Bellhop sent it; docs/client-contract.md has its keys. */
export interface CallPush {
  type: string;
  call_cid: string;
  title: string;
  body: string;
  created_by_id: string;
  receiver_id: string;
  expires_at: string;
  [key: string]: string;
}

export interface Choice {
  action: "answer" | "decline" | "open";
  push: CallPush;
}

export function isSupported(): boolean;
export function register(registration: Registration): Promise<string | null>;
export function unregister(access: Access): Promise<void>;
export function onCall(listener: (choice: Choice) => void): () => void;
