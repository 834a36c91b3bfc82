"""Floor 2: face image quality: CR-FIQA's head and target."""

from limen.quality.certainty import QualityHead, certainty_ratio, quality_loss

__all__ = ["QualityHead", "certainty_ratio", "quality_loss"]
