"""The studies of the analysis' tests serve the report's too."""

from tests.analysis.conftest import make_runs

__all__ = ["make_runs"]
