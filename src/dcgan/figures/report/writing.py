"""Both texts of an evaluation as files."""

from dcgan.config import workspace
from dcgan.figures.report.card import render_card
from dcgan.figures.report.inputs import ReportInputs
from dcgan.figures.report.page import render_page
from dcgan.figures.report.tables import Evaluation
from dcgan.system.files import write_bytes


def write_report(inputs: ReportInputs, evaluation: Evaluation) -> None:
    """Write reports/report.html and models/MODEL_CARD.md, from pictures in reports/evaluation: both, or neither.

    Raises:
        BadDataError: a picture is missing or damaged.
    """
    page = render_page(inputs, evaluation, figures=workspace.EVALUATION_FIGURES)
    card = render_card(inputs, evaluation)
    write_bytes(workspace.REPORT, page)
    write_bytes(workspace.MODEL_CARD, card)
