"""AdamW with its state in 8 or 4 bits, and GaLore."""

from .adamw import AdamW4bit, AdamW8bit
from .galore import GaLoreAdamW, GaLoreAdamW8bit

__all__ = ["AdamW4bit", "AdamW8bit", "GaLoreAdamW", "GaLoreAdamW8bit"]
