"""What the tests share: two regions, nodes as processes of their own, applications, servers that misbehave."""

from pathlib import Path

#: The repository's folder.
ROOT = Path(__file__).parents[2]
