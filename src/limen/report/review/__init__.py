"""Pages on which a person looks and decides: one self-contained HTML file each, plain JavaScript, no server."""

from limen.report.review.page import Pictures, write_page
from limen.report.review.pairs import review_pairs
from limen.report.review.people import review_people
from limen.report.review.sliders import review_quality, review_threshold
from limen.report.review.suspects import review_suspects

__all__ = ["Pictures", "review_pairs", "review_people", "review_quality", "review_suspects", "review_threshold", "write_page"]
