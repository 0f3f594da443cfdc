"""``irec plot``: rate-distortion curves of lossy results."""

from irec.commands.batch import one_line_errors, prepare_target
from irec.commands.curves import AnchorsOption, ResultsArgument, read_anchors, read_points
from irec.commands.options import ForceOption, PlotOption
from irec.errors import IrecError
from irec.terminal import say


def plot(
    results: ResultsArgument,
    output: PlotOption,
    anchors: AnchorsOption = None,
    force: ForceOption = False,
) -> None:
    """Plot PSNR and MS-SSIM of lossy results over bits per pixel."""
    with one_line_errors():
        for target in (output, output.with_suffix(".csv")):
            prepare_target(target, force=force)
        points, images = read_points(results)
        from irec.evaluation.plot_style import DEFAULT_ANCHORS
        from irec.evaluation.plots import plot_rate_distortion, plot_title
        from irec.evaluation.rate_distortion import file_curve, ideal_curve

        curves = read_anchors(anchors, images, DEFAULT_ANCHORS)
        try:
            plot_rate_distortion(
                output, file_curve(points), ideal_curve(points), curves, plot_title(images)
            )
        except OSError as error:
            raise IrecError(f"cannot write {output}: {error.strerror}") from error
    number = f"{len(points)} operating point{'s' * (len(points) != 1)}"
    say(f"{number} -> {output} and {output.with_suffix('.csv').name}")
