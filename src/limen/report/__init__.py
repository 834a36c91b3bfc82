"""Reports: results as one self-contained HTML page, and its figures."""

from limen.report.canvas import save_png, to_svg
from limen.report.curves import write_edc_csv
from limen.report.figures import figure_edc, figure_histogram, figure_overview, figure_roc, figure_training
from limen.report.files import check_earlier, write_evaluation
from limen.report.html import Section, face_grid, write_report
from limen.report.show import distinct
from limen.report.text import result_lines, result_summary

__all__ = [
    "Section",
    "check_earlier",
    "distinct",
    "face_grid",
    "figure_edc",
    "figure_histogram",
    "figure_overview",
    "figure_roc",
    "figure_training",
    "result_lines",
    "result_summary",
    "save_png",
    "to_svg",
    "write_edc_csv",
    "write_evaluation",
    "write_report",
]
