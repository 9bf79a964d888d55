import 'dart:async';
import 'dart:convert';
import 'dart:io';

import 'package:http/http.dart' as http;

const bellhop = 'https://bellhop.example.com/v1';
const timeout = Duration(seconds: 5);

/// Before each try. All tries together end long before the ring does.
const pauses = [Duration.zero, Duration(seconds: 1), Duration(seconds: 3)];

/// Tells Bellhop what happened to a ring. Needs no login: the ticket from the push is the only key. Never throws.
///
/// `event`: rang, declined, busy, dismissed or not_shown. `ticket` is null if receipts are off.
Future<void> report(String? ticket, String event, {String? reason, Map<String, Object?>? health}) async {
  if (ticket == null) return;
  final body = jsonEncode({
    'receipt': ticket,
    'event': event,
    'at': DateTime.now().millisecondsSinceEpoch,
    if (reason != null) 'reason': reason,
    if (health != null) 'health': health,
  });
  for (final pause in pauses) {
    await Future<void>.delayed(pause);
    try {
      final answer = await http
          .post(Uri.parse('$bellhop/receipts'), headers: {'Content-Type': 'application/json'}, body: body)
          .timeout(timeout);
      // 204: recorded. 4xx: the ring is over, or the ticket is not valid. Repeating does not help.
      if (answer.statusCode < 500) return;
    } on Exception {
      // No network, or no answer in time: try again.
    }
  }
}

/// Whether a ring is over. Phones have wrong clocks: if this one says so, Bellhop's decides, which each of its answers has
/// as the header Date. Without an answer, the phone's clock counts.
Future<bool> isOver(String? expiresAt) async {
  final end = int.tryParse(expiresAt ?? '');
  if (end == null || DateTime.now().millisecondsSinceEpoch <= end + 3000) return false;
  try {
    final answer = await http.get(Uri.parse('$bellhop/web-push/key')).timeout(timeout);
    return HttpDate.parse(answer.headers['date'] ?? '').millisecondsSinceEpoch > end;
  } on Exception {
    return true;
  }
}

/// What decides on this phone whether a call rings, as far as Dart knows it. `notifications`: allowed or denied.
Map<String, Object?> health({bool? notifications, String? fcmPriority}) => {
  'os': Platform.operatingSystem,
  'sdk': 'flutter',
  if (notifications != null) 'notifications': notifications ? 'allowed' : 'denied',
  if (fcmPriority != null) 'fcm_priority': fcmPriority,
};

final deviceIds = <String>{}; // Bellhop's names of this phone's tokens

Future<void> register(Map<String, Object?> device, String streamUserToken) async {
  final answer = await http.post(
    Uri.parse('$bellhop/users/me/devices'),
    headers: {'Authorization': 'Bearer $streamUserToken', 'Content-Type': 'application/json'},
    body: jsonEncode(device),
  );
  if (answer.statusCode < 300) deviceIds.add(jsonDecode(answer.body)['id'] as String);
}

Future<void> unregister(String streamUserToken) async {
  for (final id in deviceIds.toList()) {
    await http.delete(
      Uri.parse('$bellhop/users/me/devices/$id'),
      headers: {'Authorization': 'Bearer $streamUserToken'},
    );
    deviceIds.remove(id);
  }
}
