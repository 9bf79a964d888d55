import UIKit

/// This phone's tokens at Bellhop.
enum Devices {
    private static let queue = DispatchQueue(label: "bellhop.devices")
    private static let hardwareId = UIDevice.current.identifierForVendor?.uuidString ?? ""
    private static var tokens: [String: String] = [:]
    private static var ids: [String: String] = [:]  // Bellhop's name of each token
    private static var streamUserToken: String?

    /// At every start. kind: "voip" for PushKit's token, "alert" for the one that iOS gives to
    /// application(_:didRegisterForRemoteNotificationsWithDeviceToken:) after registerForRemoteNotifications().
    static func register(kind: String, token: Data) {
        queue.async {
            tokens[kind] = token.map { String(format: "%02x", $0) }.joined()
            send()
        }
    }

    /// At every start and log-in.
    static func loggedIn(_ token: String) {
        queue.async {
            streamUserToken = token
            send()
        }
    }

    /// At log-out, while the user's token is still valid. Without it, this phone rings for this user as before.
    static func loggedOut() {
        queue.async {
            for id in ids.values { _ = Bellhop.send("DELETE", "users/me/devices/\(id)", token: streamUserToken) }
            ids = [:]
            streamUserToken = nil
        }
    }

    private static func send() {
        guard let streamUserToken else { return }
        #if DEBUG
        let environment = "sandbox"
        #else
        let environment = "production"
        #endif
        for (kind, token) in tokens {
            let answer = Bellhop.send("POST", "users/me/devices", [
                "provider": "apns", "kind": kind, "token": token, "environment": environment,
                "app": Bundle.main.bundleIdentifier!, "hardware_id": hardwareId, "health": Bellhop.health(),
            ], token: streamUserToken)
            if let id = answer.json["id"] as? String { ids[kind] = id }
        }
    }
}
