/** What the page's React Native code uses of two modules that the tests do not install, and of the app itself. */

declare module 'react-native' {
  export const Platform: { OS: 'ios' | 'android' };
  export const AppRegistry: { registerComponent(name: string, component: () => unknown): void };
}

declare module '@stream-io/react-native-callingx' {
  export const CallingxModule: {
    readonly canPostNotifications: boolean;
    registerVoipToken(): void;
    addEventListener(
      name: 'voipNotificationsRegistered',
      listener: (event: { token: string }) => void,
    ): { remove(): void };
  };
}

declare const __DEV__: boolean;

declare function loggedInUser(): Promise<{ id: string } | undefined>;
declare function streamUserToken(): Promise<string>;
