import CallKit
import Foundation
import UserNotifications

enum RingEvent: String {
    case rang, declined, busy, dismissed
    case notShown = "not_shown"
}

/// Talks to Bellhop. A report needs no login: the ticket from the push is the only key.
enum Bellhop {
    static let url = URL(string: "https://bellhop.example.com/v1/")!

    /// Seconds before each try. All tries together end before iOS suspends the app again, after about 30 s.
    static let pauses: [TimeInterval] = [0, 1, 3]

    static let session: URLSession = {
        let configuration = URLSessionConfiguration.ephemeral
        configuration.timeoutIntervalForRequest = 5
        configuration.timeoutIntervalForResource = 5
        return URLSession(configuration: configuration)
    }()

    /// The ticket of a ring; nil in other pushes, and if receipts are off.
    static func ticket(in push: [AnyHashable: Any]) -> String? {
        (push["bellhop"] as? [String: Any])?["receipt"] as? String
    }

    /// Returns at once and reports in the background. Call it after the call is shown.
    static func report(_ ticket: String?, _ event: RingEvent, reason: String? = nil, callKitError: Error? = nil) {
        guard let ticket else { return }
        let silenced = (callKitError as? CXErrorCodeIncomingCallError)?.code == .filteredByDoNotDisturb
        let reason = reason ?? (callKitError == nil ? nil : silenced ? "do_not_disturb" : "callkit_error")
        let at = Int(Date().timeIntervalSince1970 * 1000)
        ProcessInfo.processInfo.performExpiringActivity(withReason: "report a ring") { expired in
            if expired { return }
            var body: [String: Any] = ["receipt": ticket, "event": event.rawValue, "at": at]
            if let reason { body["reason"] = reason }
            if event == .rang || event == .notShown { body["health"] = health(callKitError) }
            for pause in pauses {
                Thread.sleep(forTimeInterval: pause)
                let status = send("POST", "receipts", body).status
                // 204: recorded. 4xx: the ring is over, or the ticket is not valid. Repeating does not help.
                if status != 0, status < 500 { return }
            }
        }
    }

    /// Whether a ring is over. Phones have wrong clocks: if this one says so, Bellhop's decides, which each of its answers
    /// has as the header Date. Without an answer, the phone's clock counts. Not for the main thread.
    static func isOver(_ expiresAt: TimeInterval) -> Bool {
        guard Date().timeIntervalSince1970 * 1000 > expiresAt + 3_000 else { return false }
        let httpDate = DateFormatter()
        httpDate.locale = Locale(identifier: "en_US_POSIX")
        httpDate.dateFormat = "EEE, dd MMM yyyy HH:mm:ss zzz"
        guard let now = httpDate.date(from: send("GET", "web-push/key").date) else { return true }
        return now.timeIntervalSince1970 * 1000 > expiresAt
    }

    /// Sends JSON and waits for the answer. Returns its HTTP status, 0 if there was none, its JSON and its header Date.
    static func send(
        _ method: String, _ path: String, _ body: [String: Any]? = nil, token: String? = nil
    ) -> (status: Int, json: [String: Any], date: String) {
        var request = URLRequest(url: url.appendingPathComponent(path))
        request.httpMethod = method
        request.setValue("application/json", forHTTPHeaderField: "Content-Type")
        if let token { request.setValue("Bearer \(token)", forHTTPHeaderField: "Authorization") }
        request.httpBody = body.flatMap { try? JSONSerialization.data(withJSONObject: $0) }
        let answered = DispatchSemaphore(value: 0)
        var status = 0
        var json: [String: Any] = [:]
        var date = ""
        session.dataTask(with: request) { data, response, _ in
            let response = response as? HTTPURLResponse
            status = response?.statusCode ?? 0
            date = response?.value(forHTTPHeaderField: "Date") ?? ""
            json = data.flatMap { try? JSONSerialization.jsonObject(with: $0) } as? [String: Any] ?? [:]
            answered.signal()
        }.resume()
        answered.wait()
        return (status, json, date)
    }

    /// What decides on this iPhone whether a call rings. Not for the main thread: it waits for an answer of iOS.
    static func health(_ callKitError: Error? = nil) -> [String: Any] {
        let process = ProcessInfo.processInfo, version = process.operatingSystemVersion
        var health: [String: Any] = [
            "os": "ios", "os_version": "\(version.majorVersion).\(version.minorVersion)", "sdk": "swift",
            "power_save": process.isLowPowerModeEnabled,
        ]
        health["app_version"] = Bundle.main.infoDictionary?["CFBundleShortVersionString"]
        if let callKitError { health["callkit_error"] = (callKitError as NSError).code }
        let answered = DispatchSemaphore(value: 0)
        UNUserNotificationCenter.current().getNotificationSettings { settings in
            switch settings.authorizationStatus {
            case .denied: health["notifications"] = "denied"
            case .notDetermined: health["notifications"] = "not_asked"
            case .provisional: health["notifications"] = "quiet"
            default: health["notifications"] = "allowed"
            }
            health["notification_sound"] = settings.soundSetting == .enabled
            answered.signal()
        }
        answered.wait()
        return health
    }
}
