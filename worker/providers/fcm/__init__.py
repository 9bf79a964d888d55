"""Google's push service, by pyfcm."""
