"""The games: rules and pictures only, no Gymnasium, no pygame, no torch."""
