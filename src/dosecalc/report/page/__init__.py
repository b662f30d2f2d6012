"""A verification as one HTML file that opens from disk, without a network."""

from dosecalc.report.page.build import write_page

__all__ = ["write_page"]
