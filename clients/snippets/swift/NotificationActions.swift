import UIKit
import UserNotifications

/// A ring that comes as a notification: its button, without the app on the screen. In Bellhop's file of pushes, give
/// the kind second_ring the category "incoming-call". With "stream.video", the button would also be on notices.
final class NotificationActions: NSObject, UNUserNotificationCenterDelegate {
    /// At the start of the app.
    func register() {
        let decline = UNNotificationAction(identifier: "decline", title: "Decline", options: [])
        UNUserNotificationCenter.current().setNotificationCategories([
            UNNotificationCategory(
                identifier: "incoming-call", actions: [decline], intentIdentifiers: [], options: .customDismissAction),
        ])
        UNUserNotificationCenter.current().delegate = self
    }

    func userNotificationCenter(
        _ center: UNUserNotificationCenter, didReceive response: UNNotificationResponse,
        withCompletionHandler completionHandler: @escaping () -> Void
    ) {
        let ticket = Bellhop.ticket(in: response.notification.request.content.userInfo)  // nil if it is no ring
        switch response.actionIdentifier {
        case "decline": Bellhop.report(ticket, .declined)
        case UNNotificationDismissActionIdentifier: Bellhop.report(ticket, .dismissed)
        default: break
        }
        completionHandler()
    }
}
