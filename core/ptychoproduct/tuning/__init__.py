"""Codecs and chunk shapes, measured on a scan.

Imports `plots` and above. Its point: `tune_scan` (a table for people) and `choose_storage` (what ``auto`` does).
"""
