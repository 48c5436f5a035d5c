"""Tests mirror the tree: tests/envs tests envs, and so on."""
