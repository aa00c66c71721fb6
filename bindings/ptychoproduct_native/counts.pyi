from collections.abc import Buffer

class CountSteps:
    def __init__(
        self,
        root: str | None = None,
        scaling: str | None = None,
        scaling_precision: str = "float64",
        scale: float = 1.0,
    ) -> None: ...
    def counts(self, amplitudes: Buffer, counts: Buffer | None = None) -> tuple[int, int]: ...
    def amplitudes(self, counts: Buffer, amplitudes: Buffer) -> None: ...
