"""Integers that wrap: their intervals, division and bits."""
