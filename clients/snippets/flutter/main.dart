import 'dart:async';
import 'dart:io';

import 'package:firebase_core/firebase_core.dart';
import 'package:firebase_messaging/firebase_messaging.dart';
import 'package:flutter/foundation.dart';
import 'package:flutter/widgets.dart';
import 'package:stream_video_flutter/stream_video_flutter.dart';
import 'package:stream_video_push_notification/stream_video_push_notification.dart';

import 'app.dart'; // yours: App, loadLogin (the user and token that you stored, or null)
import 'bellhop.dart';
import 'firebase_options.dart'; // written by flutterfire

// Android runs this in a new isolate, in which nothing of the app has run yet.
@pragma('vm:entry-point')
Future<void> onBackgroundMessage(RemoteMessage message) async {
  final data = message.data;
  if (data['sender'] != 'stream.video') return; // your app's other messages
  if (data['type'] == 'call.ring' && await isOver(data['expires_at'])) {
    return report(data['receipt'], 'not_shown', reason: 'already_over');
  }

  await Firebase.initializeApp(options: DefaultFirebaseOptions.currentPlatform);
  final login = await loadLogin();
  if (login == null) return report(data['receipt'], 'not_shown', reason: 'signed_out');
  final client = StreamVideo.create('key', user: login.user, userToken: login.token,
      pushNotificationManagerProvider: pushManager)..connect();
  // Without these three lines, a decline in the killed app reaches nobody.
  final events = client.observeCoreRingingEventsForBackground();
  final declines = watchDecline(client, data);
  client.disposeAfterResolvingRinging(disposingCallback: () {
    events.cancel();
    declines?.cancel();
  });
  await reportShown(data, await client.handleRingingFlowNotifications(data));
}

/// Tells Bellhop when the user declines, also if Stream cannot be reached.
StreamSubscription<ActionCallDecline>? watchDecline(StreamVideo client, Map<String, dynamic> data) =>
    client.onRingingEvent<ActionCallDecline>((event) {
      if (event.data.callCid == data['call_cid']) unawaited(report(data['receipt'], 'declined'));
    });

/// `shown` is false if the call is over, or if Stream cannot be reached.
Future<void> reportShown(Map<String, dynamic> data, bool shown) async {
  final settings = await FirebaseMessaging.instance.getNotificationSettings();
  final allowed = settings.authorizationStatus == AuthorizationStatus.authorized;
  final reason = !allowed ? 'notifications_off' : shown ? null : 'not_ringing_at_stream';
  await report(data['receipt'], reason == null ? 'rang' : 'not_shown',
      reason: reason, health: health(notifications: allowed));
}

Future<void> onForegroundMessage(RemoteMessage message) async {
  // The app is just starting, or nobody is logged in. StreamVideo.instance would throw, and the call would not ring.
  if (!StreamVideo.isInitialized()) return onBackgroundMessage(message);
  final client = StreamVideo.instance;
  final declines = message.data['type'] == 'call.ring' ? watchDecline(client, message.data) : null;
  final shown = await client.handleRingingFlowNotifications(message.data);
  if (declines == null) return; // it is no ring
  await reportShown(message.data, shown);
  Timer(const Duration(minutes: 2), declines.cancel);
}

// The SDK's own token streams: PushKit's token on iOS, FCM's on Android; the present one first, then each new one.
const apple = StreamVideoPushProvider.apn(name: 'ios-voip');
const google = StreamVideoPushProvider.firebase(name: 'firebase');

final pushManager = StreamVideoPushNotificationManager.create(
  iosPushProvider: apple,
  androidPushProvider: google,
  pushConfiguration: const StreamVideoPushConfiguration(
    android: AndroidPushConfiguration(telecom: TelecomPushConfiguration(enabled: true)), // 1.6.0 and newer
  ),
);

StreamSubscription<Object?>? newTokens;

/// After each log-in, and at every start while a user is logged in.
void registerThisPhone(String streamUserToken) {
  newTokens?.cancel(); // of the user before
  newTokens = (Platform.isIOS ? apple : google).onTokenRefresh.listen((token) => register(
      Platform.isIOS
          ? {'provider': 'apns', 'kind': 'voip', 'token': token, 'app': 'com.example.calls',
             'environment': kReleaseMode ? 'production' : 'sandbox', 'health': health()}
          : {'provider': 'fcm', 'token': token, 'app': 'your-firebase-project', 'health': health()},
      streamUserToken));
  // For notices on iOS the same with kind 'alert' and FirebaseMessaging.instance.getAPNSToken().
}

/// At log-out, while the user's token is still valid. Without it, this phone rings for this user as before.
Future<void> unregisterThisPhone(String streamUserToken) async {
  await newTokens?.cancel();
  await unregister(streamUserToken);
}

Future<void> main() async {
  WidgetsFlutterBinding.ensureInitialized();
  await Firebase.initializeApp(options: DefaultFirebaseOptions.currentPlatform);
  FirebaseMessaging.onBackgroundMessage(onBackgroundMessage);
  FirebaseMessaging.onMessage.listen(onForegroundMessage);
  runApp(const App());
}
