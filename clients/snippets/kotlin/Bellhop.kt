package com.example.calls

import android.app.ActivityManager
import android.app.NotificationChannel
import android.app.NotificationManager
import android.content.Context
import android.os.Build
import android.os.PowerManager
import java.io.IOException
import java.net.HttpURLConnection
import java.net.URL
import org.json.JSONObject

/** Talks to Bellhop. A report needs no login: the ticket from the push is the only key. Not for the main thread. */
object Bellhop {
    private const val URL = "https://bellhop.example.com/v1"
    private const val TIMEOUT_MS = 3_000
    private val PAUSES_MS = listOf(0L, 1_000L) // before each try: a receiver and a service have about 10 s
    private const val CALLS_CHANNEL = "incoming_calls" // the channel of Stream's SDK; yours if you changed it
    private val IMPORTANCES = listOf("none", "min", "low", "default", "high") // as Android numbers them
    @Volatile private var deviceId: String? = null // Bellhop's name of this phone's token

    /** Sends one report. `event`: rang, declined, busy, dismissed or not_shown. */
    fun report(ticket: String?, event: String, reason: String? = null, health: JSONObject? = null) {
        if (ticket == null) return // it is no ring, or receipts are off
        val body = JSONObject(mapOf("receipt" to ticket, "event" to event, "at" to System.currentTimeMillis()))
        if (reason != null) body.put("reason", reason)
        if (health != null) body.put("health", health)
        for (pause in PAUSES_MS) {
            Thread.sleep(pause)
            val (status) = send("POST", "receipts", body)
            // 204: recorded. 4xx: the ring is over, or the ticket is not valid. Repeating does not help.
            if (status in 200..499) return
        }
    }

    /**
     * Whether a ring is over. Phones have wrong clocks: if this one says so, Bellhop's decides, which each of its answers
     * has as the header Date. Without an answer, the phone's clock counts.
     */
    fun isOver(expiresAt: Long): Boolean {
        if (System.currentTimeMillis() <= expiresAt + 3_000) return false
        val connection = URL("$URL/web-push/key").openConnection() as HttpURLConnection
        connection.connectTimeout = TIMEOUT_MS
        connection.readTimeout = TIMEOUT_MS
        val now = connection.date // 0 without an answer
        connection.disconnect()
        return now == 0L || now > expiresAt
    }

    /** At every start and log-in. */
    fun register(context: Context, token: String, streamUserToken: String) {
        val device = JSONObject(mapOf("provider" to "fcm", "token" to token, "app" to "your-firebase-project"))
        val (status, answer) = send("POST", "users/me/devices", device.put("health", health(context)), streamUserToken)
        if (status in 200..299) deviceId = JSONObject(answer).getString("id")
    }

    /** At log-out, while the user's token is still valid. Without it, this phone rings for this user as before. */
    fun unregister(streamUserToken: String) {
        deviceId?.let { send("DELETE", "users/me/devices/$it", null, streamUserToken) }
        deviceId = null
    }

    /** Sends JSON. Returns the HTTP status of the answer, 0 if there was none, and its text if it says yes. */
    private fun send(method: String, path: String, body: JSONObject?, token: String? = null): Pair<Int, String> {
        val connection = URL("$URL/$path").openConnection() as HttpURLConnection
        try {
            connection.requestMethod = method
            connection.connectTimeout = TIMEOUT_MS
            connection.readTimeout = TIMEOUT_MS
            if (token != null) connection.setRequestProperty("Authorization", "Bearer $token")
            if (body != null) {
                connection.doOutput = true
                connection.setRequestProperty("Content-Type", "application/json")
                connection.outputStream.use { it.write(body.toString().toByteArray()) }
            }
            val status = connection.responseCode
            return Pair(status, if (status in 200..299) connection.inputStream.reader().readText() else "")
        } catch (error: IOException) {
            return Pair(0, "")
        } finally {
            connection.disconnect()
        }
    }

    /** Tells why this phone cannot show a call now; null if it can. */
    fun cannotShow(context: Context): String? {
        val notifications = context.getSystemService(NotificationManager::class.java)
        if (!notifications.areNotificationsEnabled()) return "notifications_off"
        return if (callsChannel(context)?.importance == NotificationManager.IMPORTANCE_NONE) "channel_off" else null
    }

    /** What decides on this phone whether a call rings. `fcmPriority`: "high" or "normal", as the push came. */
    fun health(context: Context, fcmPriority: String? = null): JSONObject {
        val notifications = context.getSystemService(NotificationManager::class.java)
        val power = context.getSystemService(PowerManager::class.java)
        val health = JSONObject()
            .put("os", "android").put("os_version", Build.VERSION.RELEASE)
            .put("manufacturer", Build.MANUFACTURER).put("model", Build.MODEL).put("sdk", "kotlin")
            .put("app_version", context.packageManager.getPackageInfo(context.packageName, 0).versionName)
            .put("notifications", if (notifications.areNotificationsEnabled()) "allowed" else "denied")
            .put("battery_optimised", !power.isIgnoringBatteryOptimizations(context.packageName))
            .put("power_save", power.isPowerSaveMode)
            .putOpt("fcm_priority", fcmPriority)
        callsChannel(context)?.let {
            health.putOpt("channel_importance", IMPORTANCES.getOrNull(it.importance))
            health.put("channel_sound", it.sound != null)
        }
        if (Build.VERSION.SDK_INT >= 28) {
            val activities = context.getSystemService(ActivityManager::class.java)
            health.put("background_restricted", activities.isBackgroundRestricted)
        }
        if (Build.VERSION.SDK_INT >= 34) health.put("full_screen_intent", notifications.canUseFullScreenIntent())
        return health
    }

    /** The channel on which calls ring; null before the first call, and before Android 8. */
    private fun callsChannel(context: Context): NotificationChannel? {
        if (Build.VERSION.SDK_INT < 26) return null
        return context.getSystemService(NotificationManager::class.java).getNotificationChannel(CALLS_CHANNEL)
    }
}
