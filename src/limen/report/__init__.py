"""Reports: results as one self-contained HTML page, and its figures."""

from limen.report.curves import write_edc_csv
from limen.report.figures import figure_edc, figure_histogram, figure_overview, figure_roc, figure_training, save_png, to_svg
from limen.report.html import Section, face_grid, write_report

__all__ = [
    "Section",
    "face_grid",
    "figure_edc",
    "figure_histogram",
    "figure_overview",
    "figure_roc",
    "figure_training",
    "save_png",
    "to_svg",
    "write_edc_csv",
    "write_report",
]
