"""Mixing for training loops of other people: `Mixer`. Nothing here knows Hydra, pandas or the runner."""
