ZSTD_SETTINGS: dict[str, int]
