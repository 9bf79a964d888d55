import Foundation
import PushKit
import StreamVideo

// Stream's CallKit integration rings and declines as before. These three classes tell Bellhop what it does.
// At the start of the app, before CallKitAdapter().registerForIncomingCalls():
//
//     InjectedValues[\.callKitPushNotificationAdapter] = TicketPushAdapter()
//     InjectedValues[\.callKitService] = TicketCallKitService()
//
// and after each StreamVideo(...):
//
//     streamVideo.rejectionReasonProvider = TicketReasons(streamVideo.rejectionReasonProvider)

/// The ticket of each call that rings here.
final class Tickets: @unchecked Sendable {
    static let shared = Tickets()
    private let lock = NSLock()
    private var byCall: [String: String] = [:]

    subscript(cid: String) -> String? {
        get { lock.withLock { byCall[cid] } }
        set { lock.withLock { byCall[cid] = newValue } }
    }
}

final class TicketPushAdapter: CallKitPushNotificationAdapter, @unchecked Sendable {
    override func pushRegistry(
        _ registry: PKPushRegistry, didReceiveIncomingPushWith payload: PKPushPayload,
        for type: PKPushType, completion: @escaping () -> Void
    ) {
        let stream = payload.dictionaryPayload["stream"] as? [String: Any]
        if let cid = stream?["call_cid"] as? String {
            Tickets.shared[cid] = Bellhop.ticket(in: payload.dictionaryPayload)
        }
        super.pushRegistry(registry, didReceiveIncomingPushWith: payload, for: type, completion: completion)
    }

    override func pushRegistry(
        _ registry: PKPushRegistry, didUpdate pushCredentials: PKPushCredentials, for type: PKPushType
    ) {
        super.pushRegistry(registry, didUpdate: pushCredentials, for: type)
        Devices.register(kind: "voip", token: pushCredentials.token)
    }
}

final class TicketCallKitService: CallKitService, @unchecked Sendable {
    override func reportIncomingCall(
        _ cid: String, localizedCallerName: String, callerId: String, hasVideo: Bool,
        completion: @Sendable @escaping (Error?) -> Void
    ) {
        super.reportIncomingCall(
            cid, localizedCallerName: localizedCallerName, callerId: callerId, hasVideo: hasVideo
        ) { error in
            completion(error)
            Bellhop.report(Tickets.shared[cid], error == nil ? .rang : .notShown, callKitError: error)
        }
    }
}

/// Stream asks it why a call is rejected, just before it rejects the call.
final class TicketReasons: RejectionReasonProviding {
    private let stream: RejectionReasonProviding

    init(_ stream: RejectionReasonProviding) { self.stream = stream }

    func reason(for callCid: String, ringTimeout: Bool) async -> String? {
        let reason = await stream.reason(for: callCid, ringTimeout: ringTimeout)
        if reason == RejectCallRequest.Reason.decline { Bellhop.report(Tickets.shared[callCid], .declined) }
        if reason == RejectCallRequest.Reason.busy { Bellhop.report(Tickets.shared[callCid], .busy) }
        return reason
    }

    func reason(callState: GetCallResponse) -> String? { stream.reason(callState: callState) }
}
