from collections.abc import Buffer
from typing import Literal

_Precision = Literal["float32", "float64"]

class CountSteps:
    def __init__(
        self,
        root: _Precision | None = None,
        scaling: Literal["divide", "multiply"] | None = None,
        scaling_precision: _Precision = "float64",
        scale: float = 1.0,
    ) -> None: ...
    def counts(self, amplitudes: Buffer, counts: Buffer | None = None) -> tuple[int, int]: ...
    def amplitudes(self, counts: Buffer, amplitudes: Buffer) -> None: ...
