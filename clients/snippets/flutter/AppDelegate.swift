import Flutter
import PushKit
import UIKit
import stream_video_push_notification

/// On an iPhone, the SDK's plugin takes the VoIP push and does not pass the ticket to Dart. This delegate stands before
/// it: it passes each push on, and reports that it rang. It needs Bellhop.swift.
@main
@objc class AppDelegate: FlutterAppDelegate, PKPushRegistryDelegate {
    private let stream = StreamVideoPKDelegateManager.shared
    private let registry = PKPushRegistry(queue: .main)

    override func application(
        _ application: UIApplication, didFinishLaunchingWithOptions options: [UIApplication.LaunchOptionsKey: Any]?
    ) -> Bool {
        GeneratedPluginRegistrant.register(with: self)
        registry.delegate = self  // instead of StreamVideoPKDelegateManager.shared.registerForPushNotifications()
        registry.desiredPushTypes = [.voIP]
        return super.application(application, didFinishLaunchingWithOptions: options)
    }

    func pushRegistry(
        _ registry: PKPushRegistry, didReceiveIncomingPushWith payload: PKPushPayload,
        for type: PKPushType, completion: @escaping () -> Void
    ) {
        let ticket = Bellhop.ticket(in: payload.dictionaryPayload)
        stream.pushRegistry(registry, didReceiveIncomingPushWith: payload, for: type) {
            completion()
            Bellhop.report(ticket, .rang)
        }
    }

    func pushRegistry(_ registry: PKPushRegistry, didUpdate credentials: PKPushCredentials, for type: PKPushType) {
        stream.pushRegistry(registry, didUpdate: credentials, for: type)
    }

    func pushRegistry(_ registry: PKPushRegistry, didInvalidatePushTokenFor type: PKPushType) {
        stream.pushRegistry(registry, didInvalidatePushTokenFor: type)
    }
}
