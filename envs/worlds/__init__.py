"""Small worlds in which the science of rewards can be checked, many of them exactly."""
