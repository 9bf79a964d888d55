"""Why a phone did or did not ring: from the trail of a call to sentences."""
