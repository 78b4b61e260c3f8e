"""From a bundle to a folder for an editor: DNGs, time stamps, sound, and checkpoints."""
