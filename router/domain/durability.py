"""What a store is to survive, as the operator of a router chooses it. docs/guarantees.md says what each means."""

from __future__ import annotations

from typing import Literal

Durability = Literal["dev", "standard", "durable", "ha"]
"""From weak to strong: nothing kept; written out each second; before each answer; and on a replica too."""
