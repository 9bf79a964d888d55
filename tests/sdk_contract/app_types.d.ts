/** What the React Native code uses of two modules that the tests do not install, and of the app itself. */

declare module 'react-native' {
  export const Platform: { OS: 'ios' | 'android'; Version: number | string; constants: { Release?: string } };
}

declare module '@stream-io/react-native-callingx' {
  type Events = {
    voipNotificationsRegistered: { token: string };
    voipNotificationReceived: { stream: { call_cid: string } };
    didDisplayIncomingCall: { callId: string };
    answerCall: { callId: string; source: 'app' | 'sys' };
    endCall: { callId: string; cause: string; source: 'app' | 'sys' };
  };
  type PastEvent = { eventName: string; params: object };
  export const CallingxModule: {
    readonly canPostNotifications: boolean;
    registerVoipToken(): void;
    getInitialEvents(): PastEvent[];
    getInitialVoipEvents(): PastEvent[];
    addEventListener<T extends keyof Events>(name: T, listener: (event: Events[T]) => void): { remove(): void };
  };
}

declare const __DEV__: boolean;

declare function loggedInUser(): Promise<{ id: string } | undefined>;
declare function streamUserToken(): Promise<string>;
declare function inAnotherCall(): boolean;
