"""Exceptions as steps."""

from stepstream.schemas.error_report import ErrorReport, ExceptionReport, Relation


def raised(exc: BaseException) -> BaseException:
    """The exception, with a traceback."""
    try:
        raise exc
    except BaseException as caught:  # noqa: BLE001 - any exception is raised here
        return caught


def size(report: ErrorReport | ExceptionReport) -> int:
    """How many exceptions a report tells."""
    inner = [*report.exceptions, *([report.cause] if report.cause else [])]
    return 1 + sum(size(one) for one in inner)


def test_message_type_traceback_and_frames_are_told() -> None:
    """A report holds what the interpreter would print, as text and as data."""
    report = ErrorReport.from_exception(raised(ValueError("too thin")))
    assert (report.message, report.exception_type) == ("too thin", "ValueError")
    assert report.traceback is not None
    assert report.traceback.endswith("ValueError: too thin\n")
    assert report.frames[-1].function == "raised"
    assert report.frames[-1].code == "raise exc"


def test_causes_and_contexts_are_told_apart() -> None:
    """What was raised from another, and what while handling another, keep their relation."""
    try:
        try:
            raise KeyError("first")
        except KeyError as first:
            raise ValueError("second") from first
    except ValueError as caused:
        report = ErrorReport.from_exception(caused)
    assert report.cause is not None
    assert (report.cause.message, report.cause.relation) == ("'first'", Relation.CAUSE)
    try:
        try:
            raise KeyError("first")
        except KeyError:
            raise ValueError("second")  # noqa: B904 - the context is what is tested
    except ValueError as during:
        report = ErrorReport.from_exception(during)
    assert report.cause is not None
    assert report.cause.relation is Relation.CONTEXT


def test_members_of_a_group_are_told() -> None:
    """An exception group brings each of its members."""
    group = ExceptionGroup("both", [raised(ValueError("one")), raised(OSError("two"))])
    report = ErrorReport.from_exception(raised(group))
    assert [member.message for member in report.exceptions] == ["one", "two"]


def test_nested_groups_end() -> None:
    """Groups of groups, and causes that point in circles, give a bounded report."""
    nested: Exception = ValueError("leaf")
    for level in range(12):
        nested = ExceptionGroup(
            f"level {level}", [nested, ValueError(f"a {level}"), ValueError(f"b {level}")]
        )
    wide = ExceptionGroup(
        "wide", [ExceptionGroup("inner", [ValueError(str(n)) for n in range(60)]) for _ in range(60)]
    )
    for exc in (nested, wide):
        assert size(ErrorReport.from_exception(raised(exc))) <= 256
    circle, other = ValueError("circle"), ValueError("other")
    circle.__cause__, other.__cause__ = other, circle
    assert size(ErrorReport.from_exception(raised(circle))) == 2


def test_an_exception_that_cannot_be_told_is_told_as_that() -> None:
    """A foreign ``__str__`` that raises, and text that UTF-8 cannot hold, do no harm."""

    class Mute(Exception):
        def __str__(self) -> str:
            raise RuntimeError("no")

    assert "raised RuntimeError" in ErrorReport.from_exception(raised(Mute())).message
    assert ErrorReport.from_exception(raised(ValueError("\ud800"))).message == "\\ud800"
