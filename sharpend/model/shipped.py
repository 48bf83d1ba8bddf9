"""Shipped models: list their names, and find the file of a model setting, without torch."""

from __future__ import annotations

from pathlib import Path

from sharpend.errors import UnavailableError

SHIPPED = Path(__file__).parent.parent / "weights"


def shipped_names() -> list[str]:
    """List the names of the models inside the package, sorted."""
    return sorted(path.stem for path in SHIPPED.glob("*.safetensors"))


def find(model: str, *, beside: Path | None = None) -> Path:
    """Find the file of a shipped model's name or of a path.

    Args:
        model: the name or the path.
        beside: a folder where a file `<name>.safetensors` comes first: a student's teacher lies
            beside it where the two were not shipped.

    Raises:
        UnavailableError: neither; the text lists what is shipped.
    """
    if beside is not None and "/" not in model and (beside / f"{model}.safetensors").is_file():
        return beside / f"{model}.safetensors"
    shipped = SHIPPED / f"{model}.safetensors"
    if "/" not in model and shipped.is_file():
        return shipped
    if Path(model).is_file():
        return Path(model)
    raise UnavailableError(
        f"{model}: no such model; shipped models are {', '.join(shipped_names())}, "
        "or give the path of a .safetensors file"
    )
