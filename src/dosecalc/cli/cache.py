"""``python -m dosecalc.cli.cache`` prints where the compiled code of these sources is kept."""

from __future__ import annotations

__all__: list[str] = []


if __name__ == "__main__":
    from dosecalc.core.kept import kept_in

    print(kept_in())  # noqa: T201
