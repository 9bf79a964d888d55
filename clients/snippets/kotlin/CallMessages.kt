package com.example.calls

import android.content.BroadcastReceiver
import android.content.Context
import android.content.Intent
import com.google.firebase.messaging.FirebaseMessagingService
import com.google.firebase.messaging.RemoteMessage
import io.getstream.android.push.firebase.FirebaseMessagingDelegate
import io.getstream.video.android.core.notifications.NotificationHandler
import io.getstream.video.android.model.StreamCallId
import io.getstream.video.android.model.streamCallId
import kotlin.concurrent.thread

/** Firebase calls it on a background thread, also if the app is not running. */
class CallMessages : FirebaseMessagingService() {
    override fun onNewToken(token: String) {
        streamUserToken()?.let { Bellhop.register(this, token, it) } // yours: null if nobody is logged in
    }

    override fun onMessageReceived(message: RemoteMessage) {
        val data = message.data
        val ring = data["sender"] == "stream.video" && data["type"] == "call.ring"
        val expiresAt = data["expires_at"]?.toLongOrNull() ?: Long.MAX_VALUE
        val ticket = data["receipt"]
        if (ring && Bellhop.isOver(expiresAt)) return Bellhop.report(ticket, "not_shown", "already_over")
        // Only if your app never shows a second call. It also stops the user's other phones. inAnotherCall() is yours.
        if (ring && inAnotherCall()) return Bellhop.report(ticket, "busy")
        if (ring) Tickets.put(this, data.getValue("call_cid"), ticket) // before the notification with its button
        // Stream's SDK must be set up by now, as its guide shows; it shows rings and missed calls, and ends a ring.
        FirebaseMessagingDelegate.handleRemoteMessage(message)
        if (!ring) return
        val priority = if (message.priority == RemoteMessage.PRIORITY_HIGH) "high" else "normal"
        // If nobody is logged in, Stream's SDK shows nothing.
        val reason = if (streamUserToken() == null) "signed_out" else Bellhop.cannotShow(this)
        Bellhop.report(ticket, if (reason == null) "rang" else "not_shown", reason, Bellhop.health(this, priority))
    }
}

/**
 * The decline button of Stream's notification. Stream's SDK takes the receiver with the highest priority, so the
 * manifest needs
 *
 *     <receiver android:name=".DeclineReceiver" android:exported="false">
 *       <intent-filter android:priority="1">
 *         <action android:name="io.getstream.video.android.action.REJECT_CALL" />
 *       </intent-filter>
 *     </receiver>
 */
class DeclineReceiver : BroadcastReceiver() {
    override fun onReceive(context: Context, intent: Intent) {
        // The SDK's own receiver declines with Stream and removes the notification, if a user is logged in.
        context.packageManager.queryBroadcastReceivers(Intent(intent.action).setPackage(context.packageName), 0)
            .map { it.activityInfo.name }.filter { it != DeclineReceiver::class.java.name }
            .forEach { context.sendBroadcast(Intent(intent).setClassName(context, it)) }

        val call: StreamCallId = intent.streamCallId(NotificationHandler.INTENT_EXTRA_CALL_CID) ?: return
        val pending = goAsync() // keeps the process alive until finish()
        thread {
            Bellhop.report(Tickets.take(context, call.cid), "declined")
            pending.finish()
        }
    }
}

/** The ticket of each call that rings: kept on disk, since the button may start the app again. */
object Tickets {
    private fun stored(context: Context) = context.getSharedPreferences("bellhop_tickets", Context.MODE_PRIVATE)

    fun put(context: Context, cid: String, ticket: String?) {
        val edit = stored(context).edit()
        if (stored(context).all.size >= 20) edit.clear() // of calls that nobody declined
        edit.putString(cid, ticket).commit()
    }

    fun take(context: Context, cid: String): String? {
        val ticket = stored(context).getString(cid, null)
        stored(context).edit().remove(cid).apply()
        return ticket
    }
}
