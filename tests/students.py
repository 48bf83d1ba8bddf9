"""Students whose agreement with their teacher is known beforehand."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from sharpend.model.networks import StudentNet, TeacherNet
from sharpend.model.weights import Card, digest, save_network

if TYPE_CHECKING:
    from pathlib import Path


def agreeing(folder: Path, *, noise: float = 0.0) -> Path:
    """A student that does what its teacher does, but for noise on its weights."""
    torch.manual_seed(1)
    teacher, student = TeacherNet(8, 1), StudentNet(8, 1)
    student.load_state_dict(teacher.state_dict())
    with torch.no_grad():
        for weight in student.tail.parameters():
            weight.add_(torch.randn_like(weight) * noise)
    taught_by = folder / "teacher.safetensors"
    save_network(taught_by, teacher, Card("teacher", "teacher", 8, 1, teacher.halo_px))
    card = Card(
        "student",
        "student",
        8,
        1,
        student.halo_px,
        teacher=str(taught_by),
        teacher_digest=digest(teacher.state_dict()),
        alarm_below=0.9,
        residual_above=0.5,
        measurable_from=0.0,
    )
    path = folder / f"student-{noise}.safetensors"
    save_network(path, student, card)
    return path
