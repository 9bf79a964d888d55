import CallKit
import PushKit

/// For apps that use PushKit and CallKit themselves: rules 1 to 3, and the reports. Make it in
/// application(_:didFinishLaunchingWithOptions:), and keep it: a push may start the app.
final class IncomingCalls: NSObject, PKPushRegistryDelegate, CXProviderDelegate {
    private let provider = CXProvider(configuration: CXProviderConfiguration())
    private var ringing: [UUID: String] = [:]  // the ticket of each call that rings; used on the main queue only

    override init() {
        super.init()
        provider.setDelegate(self, queue: .main)
    }

    func pushRegistry(
        _ registry: PKPushRegistry, didReceiveIncomingPushWith payload: PKPushPayload,
        for type: PKPushType, completion: @escaping () -> Void
    ) {
        let stream = payload.dictionaryPayload["stream"] as? [String: Any] ?? [:]
        let bellhop = payload.dictionaryPayload["bellhop"] as? [String: Any] ?? [:]
        let ticket = Bellhop.ticket(in: payload.dictionaryPayload)
        let uuid = (bellhop["call_uuid"] as? String).flatMap(UUID.init(uuidString:)) ?? UUID()
        let expiresAt = (bellhop["expires_at"] as? NSNumber)?.doubleValue ?? .infinity
        // Yours: who is logged in, nil if nobody is. When a push starts the app, the app has not logged in yet, and the
        // phone is often locked. So read it from where that is possible (kSecAttrAccessibleAfterFirstUnlock).
        let userId = storedUserId()
        let notForUs = userId == nil ? "signed_out" : stream["receiver_id"] as? String == userId ? nil : "other_user"

        let name = stream["call_display_name"] as? String ?? ""
        let update = CXCallUpdate()
        update.localizedCallerName = name.isEmpty ? stream["created_by_display_name"] as? String : name
        update.hasVideo = stream["video"] as? String == "true"
        provider.reportNewIncomingCall(with: uuid, update: update) { error in  // always, and at once
            defer { completion() }
            if (error as? CXErrorCodeIncomingCallError)?.code == .callUUIDAlreadyExists { return }  // it came twice
            if let error { return Bellhop.report(ticket, .notShown, callKitError: error) }
            DispatchQueue.main.async { self.ringing[uuid] = ticket }
            DispatchQueue.global().async {
                guard let reason = notForUs ?? (Bellhop.isOver(expiresAt) ? "already_over" : nil) else {
                    return Bellhop.report(ticket, .rang)
                }
                DispatchQueue.main.async { self.stopRinging(uuid, because: .unanswered) }
                Bellhop.report(ticket, .notShown, reason: reason)
            }
        }
    }

    /// On the main queue, if the app ends the ring: it was answered elsewhere, or the caller gave up (rule 4). Do not use
    /// a CXEndCallAction for it: CallKit gives that to the method below, which reports that the user declined.
    func stopRinging(_ uuid: UUID, because reason: CXCallEndedReason) {
        ringing[uuid] = nil
        provider.reportCall(with: uuid, endedAt: nil, reason: reason)
    }

    func provider(_ provider: CXProvider, perform action: CXEndCallAction) {
        Bellhop.report(ringing.removeValue(forKey: action.callUUID), .declined)  // nil once the call was answered
        // Also end the call with Stream's SDK here, as before.
        action.fulfill()
    }

    func provider(_ provider: CXProvider, perform action: CXAnswerCallAction) {
        ringing[action.callUUID] = nil
        // Join the call with Stream's SDK here, as before.
        action.fulfill()
    }

    func providerDidReset(_ provider: CXProvider) { ringing = [:] }

    func pushRegistry(_ registry: PKPushRegistry, didUpdate credentials: PKPushCredentials, for type: PKPushType) {
        Devices.register(kind: "voip", token: credentials.token)
    }
}
