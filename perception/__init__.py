"""Pixels to features: the Encoder contract, the networks that fill it, and ways to train them beforehand."""

from perception.encoder import ENCODERS, LAYOUTS, STATES, Encoder, EncoderSpec, freeze, make_encoder, read_layout
from perception.saving import load_encoder, save_encoder
from perception.stacks import Stacks

__all__ = [
    "ENCODERS",
    "LAYOUTS",
    "STATES",
    "Encoder",
    "EncoderSpec",
    "Stacks",
    "freeze",
    "load_encoder",
    "make_encoder",
    "read_layout",
    "save_encoder",
]
