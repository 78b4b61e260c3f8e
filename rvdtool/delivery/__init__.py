"""From a bundle to a folder that an editor takes: DNGs, time stamps, and where a run stopped."""
