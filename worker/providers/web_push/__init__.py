"""The push services of browsers (RFC 8030), and of Android apps without Google (UnifiedPush)."""
