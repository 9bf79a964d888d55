import CallKit
import PushKit

/// For apps that use PushKit and CallKit themselves: rules 1 to 3, and the reports.
final class IncomingCalls: NSObject, PKPushRegistryDelegate, CXProviderDelegate {
    private let provider = CXProvider(configuration: CXProviderConfiguration())
    private var ringing: [UUID: String] = [:]  // the ticket of each call that rings; used on the main queue only
    var loggedInUserId: String?

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
        let tooLate = Date().timeIntervalSince1970 * 1000 > expiresAt + 3_000
        let forUs = stream["receiver_id"] as? String == loggedInUserId

        let name = stream["call_display_name"] as? String ?? ""
        let update = CXCallUpdate()
        update.localizedCallerName = name.isEmpty ? stream["created_by_display_name"] as? String : name
        update.hasVideo = stream["video"] as? String == "true"
        provider.reportNewIncomingCall(with: uuid, update: update) { error in  // always, and at once
            defer { completion() }
            if (error as? CXErrorCodeIncomingCallError)?.code == .callUUIDAlreadyExists { return }  // it came twice
            if let error { return Bellhop.report(ticket, .notShown, callKitError: error) }
            if tooLate || !forUs {
                self.provider.reportCall(with: uuid, endedAt: nil, reason: .unanswered)
                return Bellhop.report(ticket, .notShown, reason: tooLate ? "already_over" : "other_user")
            }
            DispatchQueue.main.async { self.ringing[uuid] = ticket }
            Bellhop.report(ticket, .rang)
        }
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
