#!/bin/sh
# Print what npm must install for the newest SDK. A registry may not have react-native-callingx; then it is left out.
echo react-native-sdk@npm:@stream-io/video-react-native-sdk@latest
callingx=@stream-io/react-native-callingx
if npm view "$callingx" version >/dev/null 2>&1; then echo "$callingx@latest"; fi
