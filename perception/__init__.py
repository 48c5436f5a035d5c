"""Pixels to features: the Encoder contract and the networks that fill it."""

from perception.encoder import ENCODERS, STATES, Encoder, EncoderSpec, make_encoder

__all__ = ["ENCODERS", "STATES", "Encoder", "EncoderSpec", "make_encoder"]
