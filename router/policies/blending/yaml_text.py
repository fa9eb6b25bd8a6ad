"""Policy documents as YAML text, one plain value a field."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from typing import Any

import yaml


def written(values: Mapping[str, Any]) -> str:
    """The values as YAML, in their order."""
    text: str = yaml.safe_dump(dict(values), sort_keys=False, allow_unicode=True)
    return text


def read(text: str, check_names: Callable[[list[str]], None]) -> Any:
    """What the YAML says. ``check_names`` sees the names of each mapping; YAML itself would keep the last of two equal
    ones without a word. Raises ValueError for text that is no YAML.
    """

    class Loader(yaml.SafeLoader):
        def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
            check_names([str(self.construct_object(key, deep=True)) for key, _ in node.value])
            return super().construct_mapping(node, deep)

    try:
        return yaml.load(text, Loader=Loader)
    except yaml.YAMLError as error:
        raise ValueError(str(error)) from error
