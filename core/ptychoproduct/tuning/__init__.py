"""Codecs and chunk shapes, measured on the scan at hand.

Imports `plots` and above. Its point: `tune_scan` (a table for people) and `choose_storage` (what ``auto`` does).
"""
