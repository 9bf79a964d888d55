import UIKit

/// This phone's tokens at Bellhop. Bellhop answers with the device's "id", which removes it at log-out.
enum Devices {
    private static let queue = DispatchQueue(label: "bellhop.devices")
    private static let hardwareId = UIDevice.current.identifierForVendor?.uuidString ?? ""
    private static var tokens: [String: String] = [:]
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

    private static func send() {
        guard let streamUserToken else { return }
        #if DEBUG
        let environment = "sandbox"
        #else
        let environment = "production"
        #endif
        for (kind, token) in tokens {
            _ = Bellhop.post("users/me/devices", [
                "provider": "apns", "kind": kind, "token": token, "environment": environment,
                "app": Bundle.main.bundleIdentifier!, "hardware_id": hardwareId, "health": Bellhop.health(),
            ], token: streamUserToken)
        }
    }
}
